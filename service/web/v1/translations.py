"""POST /v1/translations: pictures of pictures, by a generator that is given one."""

from collections.abc import Sequence
from functools import partial

import msgspec

from service.drawing.draw import TRANSLATIONS
from service.drawing.formats import MEDIA_TYPES
from service.drawing.sampler import JsonReply, SampleRequest, encoding_of, sample
from service.drawing.sizes import Size
from service.drawing.translation import TranslationRequest, require_source, translate
from service.drawing.uploads import MEDIA_TYPES as TAKEN
from service.generator.contract import ImageShape
from service.web.http.asgi import Call, Reply
from service.web.http.drawing_call import DrawingCall, accepted
from service.web.http.pictures import decoded, read_pictures
from service.web.http.route import DRAWING_ERRORS, IMAGE_HEADERS, JSON, Answer, Body, Route

_decoder = msgspec.json.Decoder(TranslationRequest)
SIZES_HEADER = "ganserve-source-sizes"
SIZES_TEXT = "WIDTHxHEIGHT of the pictures as they were sent, of all or one each, where one was cropped or scaled to the model's."


async def post_translations(call: Call) -> Reply:
    """POST /v1/translations."""
    asked = await read_pictures(call, _decoder)
    drawing = await DrawingCall.begin(call, asked.timeout, lambda: call.models.pick(asked.model, asked.seed))
    model = drawing.model
    require_source(model)
    size = sum(map(len, asked.images))
    understood = await decoded(size, drawing.deadline, partial(translate, asked, model, drawing.most_images))
    model.require_ready()  # it may have been taken away meanwhile
    wanted = SampleRequest(format=asked.format, quality=asked.quality)
    encoding = encoding_of(wanted, understood.draw, accepted(call.scope))
    reply = await drawing.reply(
        understood.draw,
        MEDIA_TYPES[encoding.format],
        lambda: sample(understood.draw, encoding, drawing.deadline),
    )
    reply.headers |= sizes_header(understood.sizes, model.contract.source)
    return reply


def sizes_header(sizes: Sequence[Size], source: ImageShape | None) -> dict[str, str]:
    """Nothing where all pictures had the model's own size."""
    assert source is not None
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
