"""`ganserve serve`, which runs the service in a folder of its own."""

import re
from dataclasses import fields

from ganserve import programs
from service.settings import PREFIX, Settings


def test_every_setting_that_names_a_file_means_one_of_the_folder_in_which_the_command_is_given():
    files = {
        one.name.upper()
        for one in fields(Settings)
        if re.match(r"File |.*: a file that", one.metadata["text"])
    }
    assert {PREFIX + name for name in files} == set(programs.FILES)
