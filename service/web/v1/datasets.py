"""POST /v1/datasets: a stream of images, below every other request in priority."""

import msgspec

from service.drawing.datasets import MEDIA_TYPES, Dataset, DatasetRequest
from service.errors import Draining
from service.web.http.asgi import Call, Streamed
from service.web.http.bodies import read_request
from service.web.http.drawing_call import awake, deadline_of
from service.web.http.route import DRAWING_ERRORS, MODEL_HEADERS, Answer, Body, Route

_decoder = msgspec.json.Decoder(DatasetRequest)


async def post_datasets(call: Call) -> Streamed:
    """POST /v1/datasets."""
    asked = await read_request(call, _decoder)
    if call.draining:
        raise Draining("The service is shutting down; try another replica.")
    settings = call.models.settings
    deadline = deadline_of(call.begun, None, settings.timeout_seconds)
    model = await awake(call, deadline, lambda: call.models.pick(asked.model, asked.seed))
    dataset = Dataset(asked, model, settings.max_dataset_images)
    call.take(0)  # its images one by one, as they are drawn
    headers = {
        "ganserve-model": model.name,
        "ganserve-version": model.version,
        "ganserve-engine": model.engine.name,
        "ganserve-seeds": f"{dataset.seeds[0]}-{dataset.seeds[-1]}",
    }
    parts = dataset.parts(call.charge, call.is_draining, settings.timeout_seconds)
    return Streamed(MEDIA_TYPES[asked.format], parts, headers)


_HEADERS = {name: text for name, text in MODEL_HEADERS.items() if name != "server-timing"}
ROUTES = [
    Route(
        *("POST", "/v1/datasets", post_datasets, "sample"),
        "A stream of images",
        {
            200: Answer(
                "The images one after another, as they are drawn.",
                dict.fromkeys(MEDIA_TYPES.values(), str),
                _HEADERS | {"ganserve-seeds": "first-last, of those asked for."},
            )
        },
        DRAWING_ERRORS,
        "Drawn while no other request waits. A client that reads slowly holds up nobody: a pass per lane is computed ahead of "
        "it. A stream that ended early, or broke, goes on from the next seed, on any replica of the same version.",
        Body(DatasetRequest, {"a thousand sneakers": {"n": 1000, "label": "Sneaker", "format": "tar"}}),
    )
]
