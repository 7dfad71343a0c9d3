"""POST /v1/translations: pictures of pictures, by a generator that is given one."""

from collections.abc import Sequence

import msgspec

from service.drawing.draw import TRANSLATIONS
from service.drawing.formats import MEDIA_TYPES
from service.drawing.sampler import JsonReply, SampleRequest, encoding_of, sample
from service.drawing.sizes import Size
from service.drawing.translation import TranslationRequest, laid_in, source_of, takes_pictures
from service.drawing.uploads import MEDIA_TYPES as TAKEN
from service.drawing.uploads import decoded
from service.errors import InvalidField
from service.generator.contract import ImageShape
from service.web.http.asgi import Call, Reply, unless_client_goes
from service.web.http.drawing_call import DrawingCall, accepted, drawn_headers
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, Answer, Body, Route
from service.web.http.uploads import read_upload

_decoder = msgspec.json.Decoder(TranslationRequest)
SIZES_HEADER = "ganserve-source-sizes"
SIZES_TEXT = "WIDTHxHEIGHT of the pictures as they were sent, of all or one each, where one was cropped or scaled to the model's."


async def post_translations(call: Call) -> Reply:
    """POST /v1/translations."""
    asked = await read_upload(call, _decoder)
    drawing = await DrawingCall.begin(
        call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed, takes_pictures)
    )
    model, n = drawing.model, len(asked.images)
    # Before anything is decoded.
    source = source_of(model)
    if not 1 <= n <= drawing.most_images:
        raise InvalidField("images", f"There are {n} pictures; allowed are 1 to {drawing.most_images}.")
    call.take(n)

    async def translated() -> Reply:
        read = await decoded(asked.images, source, drawing.deadline)
        model.require_ready()  # it may have been taken away meanwhile
        call.draw = draw = laid_in(model, read.pixels, asked.label, asked.seed, asked.scalars, asked.text)
        wanted = SampleRequest(format=asked.format, quality=asked.quality)
        encoding = encoding_of(wanted, draw, accepted(call.scope))
        body = await sample(draw, encoding, drawing.deadline)
        headers = drawn_headers(draw) | sizes_header(read.sizes, source)
        return Reply(200, MEDIA_TYPES[encoding.format], body, headers)

    return await unless_client_goes(call.receive, translated())


def sizes_header(sizes: Sequence[Size], source: ImageShape) -> dict[str, str]:
    """Nothing where all pictures had the model's own size."""
    told = [f"{size}" for size in sizes]
    if set(told) == {f"{source.width}x{source.height}"}:
        return {}
    return {SIZES_HEADER: ",".join(told[:1] if len(set(told)) == 1 else told)}


_CONTENT = {kind: JsonReply if kind == JSON else str for kind in MEDIA_TYPES.values()}
_HEADERS = {
    "ganserve-seeds": "Seed of the image, or first-last; absent where the model draws nothing beside the picture.",
    SIZES_HEADER: SIZES_TEXT,
}
# A grey dot.
_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
ROUTES = [
    Route(
        *("POST", TRANSLATIONS, post_translations, "sample"),
        "Pictures of pictures",
        {200: Answer("The images, in the format asked for.", _CONTENT, IMAGE_HEADERS | _HEADERS)},
        DRAWING_ERRORS,
        "For a generator that is given a picture, as its card's `source` says: pix2pix, super-resolution. The body is JSON, or "
        "one picture itself, with the other fields in the query, scalars by their names. Nothing of it is kept.",
        Body(
            TranslationRequest,
            {"one picture": {"images": [_DOT]}},
            dict.fromkeys(TAKEN, str),
        ),
    )
]
