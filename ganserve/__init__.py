"""A client of ganserve servers.

    from ganserve import Client

    with Client("http://localhost:3000") as client:
        images = client.sample(label="Sneaker", n=16, seed=1).images  # uint8 [16, H, W, C]

Neither this nor its command line, `ganserve --help`, needs the service or the training package.
"""

from ganserve.answers.classified import Classifications
from ganserve.answers.drawn import Frames, Samples
from ganserve.answers.inverted import Inversions
from ganserve.client import Client
from ganserve.errors import GanserveError, Refused, UnexpectedAnswer, Unreachable

__all__ = [
    "Classifications",
    "Client",
    "Frames",
    "GanserveError",
    "Inversions",
    "Refused",
    "Samples",
    "UnexpectedAnswer",
    "Unreachable",
]
