"""Pictures of a server, over one long reply; whatever breaks it off, it goes on from the seed that is next."""

import base64
import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganserve.client import Client, given
from ganserve.errors import Refused, UnexpectedAnswer, Unreachable, one_line
from ganserve.generating.plan import Block, Origin, Plan
from ganserve.generating.plan import Refused as NoSet
from ganserve.generating.writing.formats import Drawn, decoded

DATASETS = "/v1/datasets"
_MOST_OF_A_STREAM = 10_000
_PAUSE_SECONDS = 1.0
_BATCH = 64


@dataclass(frozen=True)
class Pictures:
    block: Block
    files: list[bytes]

    def pixels(self) -> NDArray[np.uint8]:
        return np.stack([decoded(png) for png in self.files])

    def pngs(self) -> list[bytes]:
        return self.files


class RemoteModel:
    """A model of a server, at one version from the first image to the last. What pictures say of themselves is the server's setting."""

    most_batch = _BATCH

    def __init__(self, url: str, api_key: str | None, model: str | None, timeout: float) -> None:
        """timeout: seconds without a word of the server, or without one that can draw.

        Raises GanserveError, ValueError; NoSet.
        """
        self._client = Client(url, api_key=api_key, timeout=timeout)
        self._timeout = timeout
        cards = {card.get("id"): card for card in self._client.models()}
        default = next((f"{name}" for name, card in cards.items() if card.get("default")), "")
        card = self._client.model(model or default)
        if card.get("source"):
            self._client.close()
            raise NoSet(
                f"{card.get('id')} makes a picture of one that it is given: POST /v1/translations takes it."
            )
        try:
            image, engine = card["image"], card["engine"]
            self.origin = Origin(
                *(card["id"], card["version"], engine["name"], engine["precision"]),
                tuple(card["classes"] or ()),
                tuple(card["slugs"] or ()),
                (image["channels"], image["height"], image["width"]),
            )
            self.has_truncation = bool(card["truncation"])
        except (KeyError, TypeError):
            raise UnexpectedAnswer(
                one_line(f"{card.get('id')} is {card.get('state')}: {card.get('problem')}")
            ) from None

    def require_texts(self, texts: Sequence[str]) -> None:
        """The server does, before it draws."""

    def label_of(self, name: str) -> int | None:
        """By the name in any case, slug or index; None if there is none."""
        for names in (self.origin.classes, self.origin.slugs):
            for label, one in enumerate(names):
                if one.casefold() == name.casefold():
                    return label
        is_index = name.isascii() and name.isdigit() and int(name) < len(self.origin.classes)
        return int(name) if is_index else None

    def encoded(
        self, plan: Plan, blocks: Iterable[Block], metadata: bool, encode: Callable[[Drawn], Any]
    ) -> Generator[tuple[Block, Any], None, None]:
        """Each block with what `encode` makes of its pictures, in order. metadata: not for the client to say."""
        for run in _runs(blocks):
            with closing(self._pictures(plan, run[0].seeds[0], run[-1].seeds[-1])) as pictures:
                for block in run:
                    yield block, encode(Pictures(block, [next(pictures) for _ in block.seeds]))

    def _pictures(self, plan: Plan, first: int, last: int) -> Generator[bytes, None, None]:
        """PNGs of the seeds `first` to `last`."""
        # All classes in turn is what the server gives without a label.
        labels = None if list(plan.labels) == [*range(len(self.origin.classes))] else list(plan.labels)
        end = time.monotonic() + self._timeout
        seed = first
        while seed <= last:
            fields = given(label=labels, text=list(plan.texts) or None) | {
                "model": f"{self.origin.model}@{self.origin.version}"
            }
            fields |= {
                "n": min(last - seed + 1, _MOST_OF_A_STREAM),
                "seed": seed,
                "truncation": plan.truncation,
            }
            try:
                with closing(self._client.server.lines(DATASETS, fields)) as lines:
                    for line in lines:
                        row = _row(line)
                        if row.get("seed") != seed:  # the end, or nonsense
                            break
                        yield base64.b64decode(row["image"], validate=True)
                        seed += 1
                        end = time.monotonic() + self._timeout
            except Refused as error:
                if error.retry_after_seconds is None or time.monotonic() > end:
                    raise
            except Unreachable:
                if time.monotonic() > end:
                    raise
            if seed <= last and time.monotonic() > end:
                raise Unreachable(f"{self._client.server.url}: no image within {self._timeout:g} seconds.")
            if seed <= last:
                time.sleep(_PAUSE_SECONDS)


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if not isinstance(row, dict) or not ("image" in row or "end" in row):
            raise ValueError
    except ValueError:
        raise UnexpectedAnswer(f"The stream has a line that is no image: {one_line(line[:80])}") from None
    return row


def _runs(blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """Blocks whose seeds follow each other, whatever shards they are of."""
    run: list[Block] = []
    for block in blocks:
        if run and (
            run[-1].seeds[-1] + 1 != block.seeds[0] or block.seeds[-1] - run[0].seeds[0] >= _MOST_OF_A_STREAM
        ):
            yield run
            run = []
        run.append(block)
    if run:
        yield run
