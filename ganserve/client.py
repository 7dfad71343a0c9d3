"""The Python client: arrays in, arrays out."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ganserve.answers import classified, inverted
from ganserve.answers.classified import Classifications
from ganserve.answers.drawn import Frames, Samples, joined, pixels, told
from ganserve.answers.fields import checked_z, given, part_of, plain
from ganserve.answers.inverted import Inversions, Picture
from ganserve.errors import Refused, UnexpectedAnswer, one_line
from ganserve.server import Server
from ganserve.together import together

DEFAULT_TIMEOUT_SECONDS = 60.0  # longer than the server's own, whose answer says more
_USUAL_MAX_IMAGES = 256  # a server's, unless it was set otherwise

SAMPLES, INTERPOLATIONS = "/v1/samples", "/v1/interpolations"
INVERSIONS, TRANSLATIONS, CLASSIFICATIONS = "/v1/inversions", "/v1/translations", "/v1/classifications"
Label = str | int | Mapping[str, float]
T = TypeVar("T")
Fields = dict[str, Any]
Read = Callable[[list[Any], str, str], T]


class Client:
    """One server. Threads may share a client; close it, or use it in a `with` block.

    url: by default GANSERVE_URL, else http://localhost:3000; a path before /v1 is kept.
    api_key: by default GANSERVE_API_KEY; sent as `Authorization: Bearer`.
    timeout: seconds to wait for the answer to one request, asking again after 429 and 503 included.
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
        self._connections, self._max_images = connections, dict[str | None, int]()

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
        scalars: Mapping[str, ArrayLike] | None = None,
        text: str | Sequence[str] | None = None,
        model: str | None = None,
        tell: Callable[[int], None] | None = None,
    ) -> Samples:
        """n images; more than the server gives at once are asked for in several requests.

        label: a class, slug, index, or weights by class; or one an image; without it image i has class (seed + i) mod K.
        seed: of image 0, image i having seed + i; drawn by the server if not given.
        z: float [n, z_dim], finite, instead of a seed. truncation: in (0, 1]. scalars: what else the model takes, by the
        `inputs` of its card: each one number, or one per image.
        text: what is to be drawn, of a model that reads one; or one an image. tell: called with how many more images have come.
        """
        rows = None if z is None else checked_z(z).tolist()
        fields = given(model=model, label=plain(label), seed=plain(seed), n=n, z=rows)
        fields |= given(scalars=plain(scalars), text=plain(text)) | {
            "truncation": truncation,
            "format": "npy",
        }
        listed = [len(fields[name]) for name in ("label", "text", "z") if isinstance(fields.get(name), list)]
        count = n if n is not None else next(iter(listed), 1)
        # Lists that do not agree are left whole, for the server to say so.
        agreed = count > 1 and all(length == count for length in listed)
        size = min(count, self.max_images(model)) if agreed else count
        tell = tell or (lambda count: None)
        if size < count:
            return self._in_pieces(fields, count, size, tell)
        whole = self._samples(fields)
        tell(len(whole.images))
        return whole

    def models(self) -> list[dict[str, Any]]:
        """The card of every model, also of those that are loading or failed."""
        cards = self._json("/v1/models").get("data")
        if not isinstance(cards, list) or not all(isinstance(card, dict) for card in cards):
            raise self._not_ganserve("/v1/models has no list of models")
        return cards

    def model(self, name: str) -> dict[str, Any]:
        """Of one model, `name` or `name@version`."""
        return self._json(f"/v1/models/{quote(name, safe='@')}")

    def interpolate(
        self,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        path: Literal["linear", "spherical"] | None = None,
        label: Label | Sequence[Label] | None = None,
        truncation: float = 1.0,
        scalars: Mapping[str, float] | None = None,
        text: str | None = None,
        loop: bool = False,
        model: str | None = None,
    ) -> Frames:
        """The images on the way from each seed to the next; `steps` from one to the next, both included.

        What is not given is the server's choice: its /docs say which, and the limits.
        """
        fields = given(steps=steps, path=path, label=plain(label), loop=loop or None, model=model)
        fields |= given(scalars=scalars, text=text)
        fields |= {"seeds": plain(seeds), "truncation": truncation, "format": "npy"}
        response = self.post(INTERPOLATIONS, fields)
        return Frames(self._array(response), *self.origin(response))

    def translate(
        self,
        pictures: Picture | Sequence[Picture],
        label: Label | Sequence[Label] | None = None,
        seed: int | None = None,
        *,
        scalars: Mapping[str, ArrayLike] | None = None,
        text: str | Sequence[str] | None = None,
        model: str | None = None,
    ) -> Samples:
        """An image of each of these pictures, or of one, by a model that is given one: pix2pix, super-resolution.

        All go in one request. label, seed, scalars, text: as in `sample`, where the model takes them; `seeds` are None where it
        draws nothing beside the picture. Raises OSError for files that can't be read, too.
        """
        (fields,) = inverted.parts(pictures, plain(label), sys.maxsize)
        fields |= given(model=model, seed=plain(seed), scalars=plain(scalars), text=plain(text))
        drawn = self._samples(fields | {"format": "npy"}, TRANSLATIONS)
        if len(drawn.images) != len(fields["images"]):
            raise self._not_ganserve(f"it gave {len(drawn.images)} images for {len(fields['images'])}")
        return drawn

    def invert(
        self,
        pictures: Picture | Sequence[Picture],
        label: Label | Sequence[Label] | None = None,
        *,
        model: str | None = None,
        steps: int = 0,
    ) -> Inversions:
        """The z of pictures, or of one, in the order given; the model needs an encoder. Raises OSError for files that can't be read, too.

        label: what they are, or one a picture; by default what the encoder takes them for. steps: of refinement towards each, 0 to 16.
        """
        parts = inverted.parts(pictures, plain(label), self.max_images(model), steps)
        return self._read(INVERSIONS, parts, model, inverted.read)

    def classify(
        self, pictures: Picture | Sequence[Picture], *, top: int | None = None, model: str | None = None
    ) -> Classifications:
        """The classes of pictures, or of one, in the order given, by a model that names them. Raises as `invert`.

        top: how many classes of each, the most likely ones; by default the server's choice, 5.
        """
        parts = inverted.parts(pictures, None, self.max_images(model))
        return self._read(CLASSIFICATIONS, (part | given(top=top) for part in parts), model, classified.read)

    def max_images(self, model: str | None = None) -> int:
        """The most images of one request, fewer of large ones: as the model's card has it, else the API description."""
        if model not in self._max_images:
            try:
                cards = [self.model(model)] if model else [one for one in self.models() if one.get("default")]
                self._max_images[model] = int(cards[0]["max_images"])
            except (Refused, UnexpectedAnswer, LookupError, TypeError, ValueError):
                return self._usual_max_images()
        return self._max_images[model]

    def _usual_max_images(self) -> int:
        try:
            fields = self._json("/openapi.json")["components"]["schemas"]["SampleRequest"]["properties"]
            return int(fields["n"]["anyOf"][0]["maximum"])
        except (Refused, UnexpectedAnswer, LookupError, TypeError):
            return _USUAL_MAX_IMAGES

    def post(self, path: str, fields: Fields) -> httpx.Response:
        """The answer to a JSON body, whatever it holds."""
        return self.server.ask("POST", path, json=fields)

    def _read(self, path: str, parts: Iterable[Fields], model: str | None, read: Read[T]) -> T:
        """What the replies to requests with pictures hold together."""
        replies, origin, address = [], ("", ""), model
        for part in parts:
            replies.append(self.post(path, part | given(model=address)))
            origin = self.origin(replies[-1])
            address = "@".join(origin)  # the others are of the same
        try:
            return read([response.json() for response in replies], *origin)
        except (LookupError, TypeError, ValueError, AttributeError, OSError):
            raise self._not_ganserve(f"its answer to {path} can't be read") from None

    def _in_pieces(self, fields: Fields, count: int, size: int, tell: Callable[[int], None]) -> Samples:
        """The first piece says which model, version and seed the others are to be of."""

        def part(begin: int) -> Fields:
            return part_of(fields | {"n": min(size, count - begin)}, begin, size)

        def ask(begin: int) -> Samples:
            piece = part(begin) | {"model": address}
            if first.seeds is not None:
                piece["seed"] = int(first.seeds[0]) + begin
            return self._samples(piece)

        first = self._samples(part(0))
        tell(len(first.images))
        address = f"{first.model}@{first.version}"
        if first.seeds is None and first.labels is not None and "label" not in fields:
            # Without seeds image i has class i mod K, which a later piece would count from its own first image.
            class_count = len(self.model(address)["classes"])
            fields = fields | {"label": [i % class_count for i in range(count)]}
        by_begin = {0: first}
        for begin, piece in together(ask, range(size, count, size), self._connections):
            by_begin[begin] = piece
            tell(len(piece.images))
        return joined([by_begin[begin] for begin in sorted(by_begin)])

    def _samples(self, fields: Fields, path: str = SAMPLES) -> Samples:
        response = self.post(path, fields)
        images = self._array(response)
        n = len(images)
        try:
            labels, seeds = told(response.headers, n)
        except ValueError:
            raise self._not_ganserve("its headers have no seeds or labels that can be read") from None
        if n != fields.get("n", n):
            raise self._not_ganserve(f"it gave {n} images for {fields['n']}")
        return Samples(images, labels, seeds, *self.origin(response))

    def _array(self, response: httpx.Response) -> NDArray[np.uint8]:
        try:
            return pixels(response.content)
        except (ValueError, EOFError, OSError):
            kind = response.headers.get("content-type", "no type")
            raise self._not_ganserve(f"{len(response.content)} bytes of {kind} instead of images") from None

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
