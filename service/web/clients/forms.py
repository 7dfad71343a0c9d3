"""multipart/form-data, as OpenAI's clients send pictures."""

from typing import NamedTuple

from python_multipart import create_form_parser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from service.errors import InvalidField

FORM = "multipart/form-data"
_MOST_PARTS = 1000


class Form(NamedTuple):
    """By name, as often as it is there: texts as they were sent, and files."""

    texts: dict[str, list[str]]
    files: dict[str, list[bytes]]


def read_form(body: bytes, content_type: str) -> Form:
    """Takes as long as the body is long: not for the event loop. Raises InvalidField."""
    form = Form({}, {})

    def count() -> None:
        if sum(map(len, (*form.texts.values(), *form.files.values()))) >= _MOST_PARTS:
            raise InvalidField("body", f"The form has more than {_MOST_PARTS} parts.")

    def on_field(field: Field) -> None:
        count()
        name, value = (field.field_name or b""), (field.value or b"")
        form.texts.setdefault(name.decode("utf-8", "replace"), []).append(value.decode("utf-8", "replace"))

    def on_file(file: File) -> None:
        count()
        name = (file.field_name or b"").decode("utf-8", "replace")
        file.file_object.seek(0)
        form.files.setdefault(name, []).append(file.file_object.read())

    # By default, what is larger than 1 MiB is written to the disk.
    try:
        parser = create_form_parser(
            {"Content-Type": content_type.encode("latin-1")},
            on_field,
            on_file,
            config={"MAX_MEMORY_FILE_SIZE": len(body) + 1},
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise InvalidField("body", f"The body is no form: {error}") from None
    return form
