"""What a person can put right."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """One line for the person at the terminal, without a traceback: what is wrong, and what to do."""


@contextmanager
def refused(words: str, *errors: type[Exception]) -> Iterator[None]:
    """Raises UserError, `words: error`, in the place of one of these: the first line of what it says."""
    try:
        yield
    except errors as error:
        raise UserError(f"{words}: {str(error).strip().partition(chr(10))[0]}") from error
