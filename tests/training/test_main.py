import subprocess
import sys

import pytest

from tests.training.tiny import command
from training.__main__ import COMMANDS


def test_help_lists_every_command_and_does_not_import_torch() -> None:
    program = "import sys; from training.__main__ import main; main(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("False\n")
    for name in ("prepare", "train", "sample", "evaluate", "export", "compare", "theory", "study"):
        assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_listed_is_there_under_its_name(name: str) -> None:
    result = command(name, "--help")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: main {name} ")


def test_another_is_refused_in_one_line() -> None:
    result = command("exprt")
    assert result.exit_code == 2
    assert "No such command 'exprt'." in result.output
