"""GET /v1/models: what is served, and how true it is."""

from typing import Any

import msgspec

from service.errors import UnknownModel
from service.registry.model import Model
from service.registry.models import Models
from service.web.http.asgi import Call, Reply
from service.web.http.route import JSON, Answer, Parameter, Route


async def list_models(call: Call) -> Reply:
    """GET /v1/models, in the OpenAI list shape with our fields added."""
    return _json({"object": "list", "data": [card(model, call.models) for model in call.models.values()]})


async def get_model(call: Call, model: str) -> Reply:
    """GET /v1/models/{model}."""
    return _json(card(call.models.find(model), call.models))


def card(model: Model, models: Models) -> dict[str, Any]:
    """What there is to know about a model: also of one that is loading, or failed."""
    facts: dict[str, Any] = {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "ganserve",
        "version": model.version or None,
        "verified": model.verified,
        "state": model.state,
        # As KServe V1 has it.
        "name": model.name,
        "ready": model.state in ("ready", "idle"),
        "default": model is models.default,
        "problem": model.problem or None,
        "versions": [
            {"version": one.version, "state": one.state, "share": models.share(one)}
            for one in models.versions[model.name]
            if one.version
        ],
    }
    if model.state != "ready":
        return facts
    loaded = model.loaded
    contract, engine, found = loaded.contract, loaded.engine, loaded.findings
    golden = None if loaded.golden is None else msgspec.to_builtins(loaded.golden) | {"unit": "uint8 levels"}
    return facts | {
        "classes": contract.classes,
        "slugs": contract.slugs if contract.classes else None,
        "z_dim": contract.z_dim,
        "inputs": contract.told,
        "outputs": contract.given,
        "batch": contract.batch,
        "image": contract.image,
        "source": contract.source,
        "max_images": contract.image.most_images(models.settings.max_images_per_request),
        "engine": {
            "name": engine.name,
            "provider": engine.provider,
            "precision": engine.precision,
            "reason": engine.reason,
            "pin": f"{model.name}={engine.name}/{engine.precision}",
            "measured": loaded.measured,
            "lanes": len(engine.lanes),
            "max_batch": model.line.queue.max_batch,
        },
        "golden": golden,
        "encoder": _encoder(model),
        "invariance": {"levels": found.levels, "unit": "uint8 levels"},
        "truncation": found.truncation,
        "mixes_classes": contract.mixes_classes,
        "checked": {
            "images": found.images,
            "sizes": found.sizes,
            "classes": found.classes,
            "seconds": round(found.seconds, 3),
        },
        "unchecked": loaded.unchecked,
        "training": contract.training,
        "quality": contract.quality,
    }


def _encoder(model: Model) -> dict[str, Any] | None:
    """Of its encoder, if it has one."""
    encoder = model.beside.encoder
    if encoder is None:
        return {"problem": model.beside.problem} if model.beside.problem else None
    document = encoder.document
    return {
        "outputs": list(document.outputs),
        "classes": encoder.classes,
        "golden": encoder.golden,
        "training": document.training,
        "quality": document.quality,
    }


def _json(document: Any) -> Reply:
    return Reply(200, "application/json", msgspec.json.encode(document))


_OBJECT = {JSON: dict[str, Any]}
_CARD = (
    "The card; default: whether requests that name no model go to this one. Of a model that is ready: golden (differences to its golden samples, null where it has none), encoder (null where it has none: what it gives of a picture, z or logits or both, the classes that logits are of, the mean difference to its golden samples, how it was trained and what was measured of it; or the problem with it), max_images (of one request), inputs (by role; a scalar has its range and default, a text its words, or else a tokenizer, which is not told), outputs (by role; V2 gives those beside the image to who names them), source (shape of the picture that it is given, null where it makes pictures of seeds), batch (images of every pass, where the graph takes no other number), invariance "
    "(most levels by which an image differed at load, in a batch and alone), truncation (whether it changes anything; "
    "where not, only 1 is allowed), mixes_classes (whether a label may be weights of several classes, as its file takes them), checked (images, sizes, classes, seconds) and unchecked (what was not, in words)."
)
ROUTES = [
    Route(
        *("GET", "/v1/models", list_models, "sample"),
        "All models",
        {200: Answer("OpenAI's list shape.", _OBJECT)},
    ),
    Route(
        *("GET", "/v1/models/{model}", get_model, "sample"),
        "A model's card",
        {200: Answer(_CARD, _OBJECT)},
        (UnknownModel,),
        parameters=(Parameter("model", "Model name, or name@version."),),
    ),
]
