"""The Python client: arrays in, arrays out."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganserve.errors import Refused, UnexpectedAnswer, one_line
from ganserve.server import Server
from ganserve.together import together

DEFAULT_TIMEOUT_SECONDS = 60.0  # longer than the server's own, whose answer says more
_USUAL_MAX_IMAGES = 256  # a server's, unless it was set otherwise

Label = str | int


@dataclass(frozen=True, eq=False)
class Samples:
    """Images, and where each can be asked for again."""

    images: NDArray[np.uint8]
    """uint8 [N, H, W, C], C 1 (grey) or 3 (RGB)."""
    labels: NDArray[np.int64] | None
    """int64 [N], indexes into the `classes` of the model's card; None for an unconditional model."""
    seeds: NDArray[np.int64] | None
    """int64 [N]; None where z was given."""
    model: str
    version: str


@dataclass(frozen=True, eq=False)
class Frames:
    """The images of a way between points, uint8 [N, H, W, C]."""

    images: NDArray[np.uint8]
    model: str
    version: str


class Client:
    """One server. Threads may share a client; close it, or use it in a `with` block.

    url: by default GANSERVE_URL, else http://localhost:3000; a path before /v1 is kept.
    api_key: by default GANSERVE_API_KEY; sent as `Authorization: Bearer`.
    timeout: seconds that one request may take, waiting and asking again after 429 and 503 included.
    connections: how many requests of one call may be under way at a time.
    on_wait: told the seconds and the reason before a pause.

    Every method raises what ganserve.errors lists, and ValueError for what no server could understand.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        connections: int = 8,
        on_wait: Callable[[float, Refused], None] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.server = Server(url, api_key, timeout, connections, on_wait, transport)
        self._connections = connections
        self._max_images: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.server.close()

    def sample(
        self,
        label: Label | Sequence[Label] | None = None,
        n: int | None = None,
        seed: int | None = None,
        *,
        z: ArrayLike | None = None,
        truncation: float = 1.0,
        model: str | None = None,
        tell: Callable[[int], None] | None = None,
    ) -> Samples:
        """n images; more than the server gives at once are asked for in several requests.

        label: a class, its slug or index, or one an image; without it image i has class (seed + i) mod K.
        seed: of image 0, image i having seed + i; drawn by the server if not given.
        z: float [n, z_dim], finite, instead of a seed. truncation: in (0, 1].
        tell: called with how many more images have arrived.
        """
        rows = None if z is None else checked_z(z).tolist()
        label = _plain(label)
        listed = [len(given) for given in (label, rows) if isinstance(given, list)]
        count = n if n is not None else next(iter(listed), 1)
        # What does not agree is left whole, for the server to say so.
        agreed = count > 1 and all(length == count for length in listed)
        size = min(count, self.max_images()) if agreed else count
        fields = _given(model=model, label=label, seed=_plain(seed), n=n)
        fields |= {"truncation": truncation, "format": "npy"}
        if rows is not None:
            fields["z"] = rows
        if size == count:
            whole = self._samples(fields)
            (tell or _nothing)(len(whole.images))
            return whole
        return self._in_pieces(fields, count, size, tell or _nothing)

    def models(self) -> list[dict[str, Any]]:
        """The card of every model, also of those that are loading or failed."""
        cards = self._json("/v1/models").get("data")
        if not isinstance(cards, list) or not all(isinstance(card, dict) for card in cards):
            raise self._not_ganserve("/v1/models has no list of models")
        return cards

    def model(self, name: str) -> dict[str, Any]:
        """The card of one model, `name` or `name@version`."""
        return self._json(f"/v1/models/{quote(name, safe='@')}")

    def interpolate(
        self,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        path: Literal["linear", "spherical"] | None = None,
        label: Label | Sequence[Label] | None = None,
        truncation: float = 1.0,
        loop: bool = False,
        model: str | None = None,
    ) -> Frames:
        """The images on the way from each seed to the next; `steps` from one to the next, both included.

        What is not given is the server's choice: its /docs say which, and the limits.
        """
        fields = _given(steps=steps, path=path, label=_plain(label), loop=loop or None, model=model)
        fields |= {"seeds": _plain(seeds), "truncation": truncation, "format": "npy"}
        response = self.post("/v1/interpolations", fields)
        return Frames(self._array(response), *self.origin(response))

    def max_images(self) -> int:
        """The most images of one request, as the server's API description has it; asked for once."""
        if self._max_images is None:
            try:
                n = self._json("/openapi.json")["components"]["schemas"]["SampleRequest"]["properties"]["n"]
                self._max_images = next(
                    int(form["maximum"]) for form in (n, *n.get("anyOf", ())) if "maximum" in form
                )
            except (Refused, LookupError, TypeError, AttributeError, StopIteration):
                self._max_images = _USUAL_MAX_IMAGES  # a gateway may keep the description to itself
        return self._max_images

    def post(self, path: str, fields: dict[str, Any]) -> httpx.Response:
        """The answer to a JSON body, whatever it holds."""
        return self.server.ask("POST", path, json=fields)

    def _in_pieces(
        self, fields: dict[str, Any], count: int, size: int, tell: Callable[[int], None]
    ) -> Samples:
        """The first piece says which model, version and seed the others are to be of."""

        def part(begin: int) -> dict[str, Any]:
            piece = fields | {"n": min(size, count - begin)}
            for name in ("label", "z"):
                if isinstance(piece.get(name), list):
                    piece[name] = piece[name][begin : begin + size]
            return piece

        first = self._samples(part(0))
        address = f"{first.model}@{first.version}"
        images = np.empty((count, *first.images.shape[1:]), np.uint8)
        labels = None if first.labels is None else np.empty(count, np.int64)
        seeds = None if first.seeds is None else first.seeds[0] + np.arange(count)
        if seeds is None and labels is not None and "label" not in fields:
            # Without seeds image i has class i mod K, which a later piece would count from its own first image.
            class_count = len(self.model(address)["classes"])
            fields = fields | {"label": [i % class_count for i in range(count)]}

        def ask(begin: int) -> Samples:
            piece = part(begin) | {"model": address}
            if seeds is not None:
                piece["seed"] = int(seeds[begin])
            return self._samples(piece)

        def place(begin: int, piece: Samples) -> None:
            if piece.images.shape[1:] != images.shape[1:] or (piece.labels is None) != (labels is None):
                raise self._not_ganserve("one part of the answer is of another kind than the first")
            images[begin : begin + size] = piece.images
            if labels is not None:
                labels[begin : begin + size] = piece.labels
            tell(len(piece.images))

        place(0, first)
        for begin, piece in together(ask, range(size, count, size), self._connections):
            place(begin, piece)
        return Samples(images, labels, seeds, first.model, first.version)

    def _samples(self, fields: dict[str, Any]) -> Samples:
        response = self.post("/v1/samples", fields)
        images = self._array(response)
        n = len(images)
        try:
            first, _, _ = response.headers.get("ganserve-seeds", "").partition("-")
            seeds = int(first) + np.arange(n) if first else None
            listed = [int(text) for text in response.headers.get("ganserve-labels", "").split(",") if text]
            labels = np.broadcast_to(np.array(listed, np.int64), n).copy() if listed else None
        except ValueError:
            raise self._not_ganserve("its headers have no seeds or labels that can be read") from None
        if n != fields.get("n", n):
            raise self._not_ganserve(f"it gave {n} images for {fields['n']}")
        return Samples(images, labels, seeds, *self.origin(response))

    def _array(self, response: httpx.Response) -> NDArray[np.uint8]:
        try:
            images = np.load(io.BytesIO(response.content), allow_pickle=False)
        except (ValueError, EOFError, OSError):
            images = None
        if not isinstance(images, np.ndarray) or images.ndim != 4 or images.dtype != np.uint8:
            kind = response.headers.get("content-type", "no type")
            raise self._not_ganserve(f"{len(response.content)} bytes of {kind} instead of images")
        return images

    def origin(self, response: httpx.Response) -> tuple[str, str]:
        """Model and version of a reply."""
        try:
            return response.headers["ganserve-model"], response.headers["ganserve-version"]
        except KeyError:
            raise self._not_ganserve("its headers name no model") from None

    def _json(self, path: str) -> dict[str, Any]:
        try:
            document = self.server.ask("GET", path).json()
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise self._not_ganserve(f"{path} is no JSON object")
        return document

    def _not_ganserve(self, what: str) -> UnexpectedAnswer:
        return UnexpectedAnswer(one_line(f"{self.server.url} does not answer as ganserve does: {what}."))


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _plain(value: Any) -> Any:
    """Labels and seeds as JSON has them, NumPy's included: one, or a list."""
    if value is None or isinstance(value, str | int):
        return value
    return value.item() if isinstance(value, np.generic) else [_plain(one) for one in value]


def checked_z(z: ArrayLike) -> NDArray[np.float64]:
    """z as float64 [n, z_dim]; one row may come without its n. Raises ValueError."""
    rows = np.asarray(z)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or not len(rows) or rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
        raise ValueError(f"z is {rows.dtype} {list(rows.shape)}: it must be finite numbers [n, z_dim].")
    return rows.astype(np.float64)


def _nothing(count: int) -> None:
    pass
