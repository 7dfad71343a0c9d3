"""A client of ganserve servers.

    from ganserve import Client

    with Client("http://localhost:3000") as client:
        images = client.sample(label="Sneaker", n=16, seed=1).images  # uint8 [16, H, W, C]

It needs httpx and numpy, and its command line (`ganserve --help`) click, rich and pillow: neither the service nor
the training package.
"""

from ganserve.client import Client, Frames, Samples
from ganserve.errors import (
    Busy,
    DeadlinePassed,
    GanserveError,
    InvalidRequest,
    NotAllowed,
    NotFound,
    Refused,
    ServerFailed,
    UnexpectedAnswer,
    Unreachable,
)

__all__ = [
    "Busy",
    "Client",
    "DeadlinePassed",
    "Frames",
    "GanserveError",
    "InvalidRequest",
    "NotAllowed",
    "NotFound",
    "Refused",
    "Samples",
    "ServerFailed",
    "UnexpectedAnswer",
    "Unreachable",
]
