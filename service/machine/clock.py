"""Which clock circus looks after workers by."""

import time

from tornado.ioloop import IOLoop


def steady() -> None:
    """For the parent process, before it makes its arbiter.

    Tornado's own is the wall's clock: where somebody sets it back by an hour, circus would look at no worker for an hour.
    """
    IOLoop.time = lambda self: time.monotonic()
