"""What /openapi.json says of /v2."""

from typing import Any

from service.errors import (
    BodyTimeout,
    BodyTooLarge,
    DeadlinePassed,
    Draining,
    EngineFailed,
    InvalidField,
    MethodNotAllowed,
    NotJson,
    NotReady,
    QueueFull,
    RequestError,
    ServiceError,
    UnknownModel,
    UnsupportedType,
)
from service.web.v2 import IndexRequest
from service.web.v2_messages import (
    InferInput,
    InferOutput,
    InferParameters,
    InferRequest,
    InputParameters,
    OutputParameters,
)

STRUCTS = [InferRequest, IndexRequest]
"""Their schemas belong among the components; those of what they hold come with them."""

# By struct and field; {settings} is the server's.
FIELDS: dict[str, dict[str, str]] = {
    InferRequest.__name__: {
        "inputs": "`z` FP32 [n, z_dim] or `seed` INT64 [n], and `label` INT64 [n] where the model has classes. n is 1 to {settings.max_images_per_request}. Without label, image i has class seed[i] mod K, or i mod K for z.",
        "id": "Returned in the reply.",
        "parameters": "Of the request.",
        "outputs": "The outputs wanted: there is one, `image`, UINT8 [n, C, H, W] (NCHW), which is also what is sent if none is named.",
        "model_name": "If it is given, the model of the path.",
        "model_version": "If it is given, that model's version.",
    },
    InferParameters.__name__: {
        "truncation": "z is multiplied by it: less variety, more typical images.",
        "timeout": "Microseconds until 504, as in Triton; 0, or more than the server's {settings.timeout_seconds} seconds: the server's.",
        "binary_data_output": "Outputs come as bytes after the JSON object, unless their own binary_data says otherwise.",
        "priority": "Taken and without effect: all requests are equal.",
        "sequence_id": "Taken and without effect.",
        "sequence_start": "Taken and without effect.",
        "sequence_end": "Taken and without effect.",
        "triton_enable_empty_final_response": "Taken and without effect.",
    },
    InferInput.__name__: {
        "name": "`z`, `seed` or `label`.",
        "shape": "[n, z_dim] for z, [n] for the others.",
        "datatype": "`FP32` for z, `INT64` for the others.",
        "parameters": "Of the tensor.",
        "data": "The numbers, row by row; z also as a list of rows. Absent where binary_data_size is given.",
    },
    InputParameters.__name__: {
        "binary_data_size": "The tensor's bytes are in the body after the JSON object, so many of them: little endian, row by row, in the order of the inputs."
    },
    InferOutput.__name__: {"name": "`image`.", "parameters": "Of the tensor."},
    OutputParameters.__name__: {"binary_data": "Whether it comes as bytes after the JSON object."},
    IndexRequest.__name__: {"ready": "Only models that are ready."},
}

Errors = tuple[type[RequestError | ServiceError], ...]
_READY: Errors = (UnknownModel, NotReady)
_BODY: Errors = (NotJson, InvalidField, BodyTimeout, BodyTooLarge, UnsupportedType)
_INFER: Errors = (*_READY, *_BODY, QueueFull, EngineFailed, Draining, DeadlinePassed)
_TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
        "parameters": {"type": "object"},
    },
    "required": ["name", "datatype", "shape"],
}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TEXT = {"type": "string"}
_TRUTH = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_DURATION = _object(count=_COUNT, ns=_COUNT)
_STATS = _object(
    name=_TEXT,
    version=_TEXT,
    last_inference={**_COUNT, "description": "Milliseconds since 1970 of the last /v2 inference."},
    inference_count={**_COUNT, "description": "Images answered, on all routes."},
    execution_count={**_COUNT, "description": "Forward passes, for all routes."},
    inference_stats=_object(
        success={**_DURATION, "description": "/v2 inferences answered with images."},
        fail={**_DURATION, "description": "/v2 inferences refused by the queue, too late, or failed."},
        queue={**_DURATION, "description": "Waiting for a forward pass, requests of all routes."},
        compute_input={**_DURATION, "description": "0 ns: part of compute_infer."},
        compute_infer={**_DURATION, "description": "Forward passes; one that requests share counts once."},
        compute_output={**_DURATION, "description": "0 ns: part of compute_infer."},
        cache_hit={**_DURATION, "description": "0: nothing is cached."},
        cache_miss={**_DURATION, "description": "0: nothing is cached."},
    ),
    batch_stats={"type": "array", "description": "Empty; /metrics has `ganserve_batch_images`."},
)
_RESPONSE = _object(model_name=_TEXT, model_version=_TEXT, outputs=_list(_TENSOR))
_RESPONSE["properties"]["id"] = _TEXT
_METADATA = _object(
    name=_TEXT,
    versions=_list(_TEXT),
    platform=_TEXT,
    inputs=_list(_TENSOR),
    outputs=_list(_TENSOR),
    parameters={"type": "object"},
)
_INDEX = _list(
    _object(
        name=_TEXT,
        version=_TEXT,
        state={"enum": ["READY", "LOADING", "UNAVAILABLE"]},
        reason=_TEXT,
    )
)
_BINARY = {"type": "string", "description": "A JSON object, and the tensors' bytes."}
_LENGTH = "Bytes of the JSON object, where bytes of tensors follow it."


def _parameter(name: str, place: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": _TEXT,
        "description": text,
    }


_PATH = {
    "model": "Model name.",
    "version": "The model's version: the whole number that /v2 names, or the 12 hex digits that /v1 names.",
}


def _operation(
    summary: str, schema: dict[str, Any] | None, errors: Errors, path: str, text: str = ""
) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    if schema is not None:
        answers["200"] = {"description": "As the protocol has it.", "content": _content(schema)}
    for error in sorted(
        {*errors, MethodNotAllowed, ServiceError}, key=lambda error: (error.status, error.code)
    ):
        # As in v2.error_reply.
        status = str(400 if error.status == 422 else error.status)
        answer = answers.setdefault(
            status,
            {
                "description": "",
                "content": _content(_object(error=_TEXT)),
                "headers": {"ganserve-error": {"schema": _TEXT, "description": "The error's stable code."}},
            },
        )
        answer["description"] = f"{answer['description']} `{error.code}`: {error.title}.".strip()
    names = [name for name in _PATH if f"{{{name}}}" in path]
    operation: dict[str, Any] = {"summary": summary, "responses": answers}
    if text:
        operation["description"] = text
    if names:
        operation["parameters"] = [_parameter(name, "path", _PATH[name]) for name in names]
    return operation


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _infer(path: str) -> dict[str, Any]:
    operation = _operation("Images, as a tensor", _RESPONSE, _INFER, path, _INFER_TEXT)
    operation["parameters"] += [
        _parameter("inference-header-content-length", "header", _LENGTH),
        _parameter("content-encoding", "header", "`gzip` or `deflate`, of the body."),
        _parameter("accept-encoding", "header", "`gzip` or `deflate`: the reply is compressed."),
    ]
    example = {
        "id": "42",
        "inputs": [
            {"name": "seed", "datatype": "INT64", "shape": [2], "data": [1, 2]},
            {"name": "label", "datatype": "INT64", "shape": [2], "data": [7, 7]},
        ],
        "parameters": {"truncation": 0.7},
    }
    reference = {"$ref": f"#/components/schemas/{InferRequest.__name__}"}
    operation["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": reference, "examples": {"two sneakers": {"value": example}}},
            "application/octet-stream": {"schema": _BINARY},
        },
    }
    answer = operation["responses"]["200"]
    answer["content"]["application/octet-stream"] = {"schema": _BINARY}
    texts = {
        "inference-header-content-length": _LENGTH,
        "content-encoding": "`gzip` or `deflate`, if the request accepts it.",
        "ganserve-model": "Model name.",
        "ganserve-version": "Model version, 12 hex digits of the file's SHA-256.",
        "ganserve-engine": "What ran the forward passes.",
        "server-timing": "Milliseconds in the queue, in forward passes and in encoding.",
    }
    answer["headers"] = {name: {"schema": _TEXT, "description": text} for name, text in texts.items()}
    return operation


_INFER_TEXT = """Triton's binary tensor data extension is spoken in both directions. The content type is not looked
at. The images share forward passes and limits with those of /v1/samples. All that is wrong with a tensor is
a 400, as the protocol has it."""


def _of_model(path: str) -> dict[str, Any]:
    is_ready = _operation(
        "Whether a model is ready", _object(name=_TEXT, ready=_TRUTH), (UnknownModel,), f"{path}/ready"
    )
    is_ready["responses"]["503"] = {"description": "It is not.", "content": _content(_object(ready=_TRUTH))}
    config = _operation("Triton's ModelConfig", {"type": "object"}, _READY, f"{path}/config")
    stats = _operation("Statistics", _object(model_stats=_list(_STATS)), _READY, f"{path}/stats")
    return {
        path: {"get": _operation("Inputs and outputs", _METADATA, _READY, path)},
        f"{path}/ready": {"get": is_ready},
        f"{path}/config": {"get": config},
        f"{path}/stats": {"get": stats},
        f"{path}/infer": {"post": _infer(f"{path}/infer")},
    }


def _repository() -> dict[str, Any]:
    index = _operation("All models", _INDEX, _BODY, "/v2/repository/index")
    reference = {"$ref": f"#/components/schemas/{IndexRequest.__name__}"}
    index["requestBody"] = {"content": _content(reference)}
    paths = {"/v2/repository/index": {"post": index}}
    for what in ("load", "unload"):
        path = f"/v2/repository/models/{{model}}/{what}"
        text = "Models are read from the server's folder when it starts."
        paths[path] = {"post": _operation("Always refused", None, (RequestError, UnknownModel), path, text)}
    return paths


def _health() -> dict[str, Any]:
    ready = _operation("As /readyz", _object(ready=_TRUTH), (), "")
    ready["responses"]["503"] = {"description": "Not ready.", "content": _content(_object(ready=_TRUTH))}
    server = _object(name=_TEXT, version=_TEXT, extensions=_list(_TEXT))
    return {
        "/v2": {"get": _operation("The server", server, (), "")},
        "/v2/health/live": {"get": _operation("As /livez", _object(live=_TRUTH), (), "")},
        "/v2/health/ready": {"get": ready},
        "/v2/models/stats": {
            "get": _operation("All models' statistics", _object(model_stats=_list(_STATS)), (), "")
        },
    }


PATHS: dict[str, Any] = {
    **_health(),
    **_of_model("/v2/models/{model}"),
    **_of_model("/v2/models/{model}/versions/{version}"),
    **_repository(),
}
