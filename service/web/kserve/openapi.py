"""What /openapi.json says of /v2."""

from typing import Any

from service.errors import InvalidField, NotReady, RequestError, UnknownModel
from service.web.http.openapi_parts import (
    BODY_ERRORS,
    MODEL_HEADERS,
    SAMPLING_ERRORS,
    TEXT,
    TRUNCATION,
    Errors,
    Object,
    answer,
    body,
    in_path,
    json,
    media,
    operation,
    problems,
    reference,
)
from service.web.kserve.messages import (
    InferInput,
    InferOutput,
    InferParameters,
    InferRequest,
    InputParameters,
    OutputParameters,
)
from service.web.kserve.routes import IndexRequest

STRUCTS = [InferRequest, IndexRequest]
"""Their schemas belong among the components; those of what they hold come with them."""

_CODEC = {
    "content_type": "Of MLServer's codecs; taken and without effect.",
    "headers": "Of MLServer's codecs; taken and without effect.",
}
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
        "truncation": TRUNCATION,
        "timeout": "Microseconds until 504, as in Triton; 0, or more than the server's {settings.timeout_seconds} seconds: the server's.",
        "binary_data_output": "Outputs come as bytes after the JSON object, unless their own binary_data says otherwise.",
        "priority": "Taken and without effect: all requests are equal.",
        "sequence_id": "Taken and without effect.",
        "sequence_start": "Taken and without effect.",
        "sequence_end": "Taken and without effect.",
        "triton_enable_empty_final_response": "Taken and without effect.",
    }
    | _CODEC,
    InferInput.__name__: {
        "name": "`z`, `seed` or `label`.",
        "shape": "[n, z_dim] for z, [n] or [n, 1] for the others.",
        "datatype": "`FP32` for z, `INT64` for the others.",
        "parameters": "Of the tensor.",
        "data": "The numbers, row by row, or as a list of rows. Absent where binary_data_size is given.",
    },
    InputParameters.__name__: {
        "binary_data_size": "The tensor's bytes are in the body after the JSON object, so many of them: little endian, row by row, in the order of the inputs."
    }
    | _CODEC,
    InferOutput.__name__: {"name": "`image`.", "parameters": "Of the tensor."},
    OutputParameters.__name__: {"binary_data": "Whether it comes as bytes after the JSON object."} | _CODEC,
    IndexRequest.__name__: {"ready": "Only models that are ready."},
}

_READY: Errors = (UnknownModel, NotReady)
_TENSOR: Object = {
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


def _object(**properties: Any) -> Object:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Any) -> Object:
    return {"type": "array", "items": items}


_TRUTH = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}
_DURATION = _object(count=_COUNT, ns=_COUNT)
_STATS = _object(
    name=TEXT,
    version=TEXT,
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
_RESPONSE = _object(model_name=TEXT, model_version=TEXT, outputs=_list(_TENSOR))
_RESPONSE["properties"]["id"] = TEXT
_METADATA = _object(
    name=TEXT,
    versions=_list(TEXT),
    platform=TEXT,
    inputs=_list(_TENSOR),
    outputs=_list(_TENSOR),
    parameters={"type": "object"},
)
_INDEX = _list(
    _object(
        name=TEXT,
        version=TEXT,
        state={"enum": ["READY", "LOADING", "UNAVAILABLE"]},
        reason=TEXT,
    )
)
_BINARY = media(
    "application/octet-stream", schema=TEXT | {"description": "A JSON object, and the tensors' bytes."}
)
_LENGTH = "Bytes of the JSON object, where bytes of tensors follow it."


_PATH = {
    "model": "Model name.",
    "version": "The model's version: the whole number that /v2 names, or the 12 hex digits that /v1 names.",
}


def _operation(
    summary: str, schema: Object | None, errors: Errors, path: str, text: str = "", **parts: Any
) -> Object:
    parameters = in_path(**{name: text for name, text in _PATH.items() if f"{{{name}}}" in path})
    answers = {} if schema is None else {"200": answer("As the protocol has it.", json(schema))}
    # As in v2.error_reply.
    refused = problems(
        errors,
        json(_object(error=TEXT)),
        {"ganserve-error": "The error's stable code."},
        {error: (400, error.code) for error in (RequestError, InvalidField)},
    )
    return operation(summary, answers | refused, text, parameters=parameters, **parts)


def _header(name: str, text: str) -> Object:
    return {"name": name, "in": "header", "required": False, "schema": TEXT, "description": text}


def _infer(path: str) -> Object:
    example = {
        "id": "42",
        "inputs": [
            {"name": "seed", "datatype": "INT64", "shape": [2], "data": [1, 2]},
            {"name": "label", "datatype": "INT64", "shape": [2], "data": [7, 7]},
        ],
        "parameters": {"truncation": 0.7},
    }
    asked = body(InferRequest.__name__, two_sneakers=example)
    asked["content"] |= _BINARY
    errors = (*SAMPLING_ERRORS, *BODY_ERRORS)
    found = _operation("Images, as a tensor", None, errors, path, _INFER_TEXT, requestBody=asked)
    found["parameters"] += [
        _header("inference-header-content-length", _LENGTH),
        _header("content-encoding", "`gzip` or `deflate`, of the body."),
        _header("accept-encoding", "`gzip` or `deflate`: the reply is compressed."),
    ]
    headers = MODEL_HEADERS | {
        "inference-header-content-length": _LENGTH,
        "content-encoding": "`gzip` or `deflate`, if the request accepts it.",
    }
    found["responses"]["200"] = answer("As the protocol has it.", json(_RESPONSE) | _BINARY, headers)
    return found


_INFER_TEXT = """Triton's binary tensor data extension is spoken in both directions. The content type is not looked
at. The images share forward passes and limits with those of /v1/samples. All that is wrong with a tensor is
a 400, as the protocol has it."""


def _readiness(summary: str, schema: Object, errors: Errors, path: str) -> Object:
    found = _operation(summary, schema, errors, path)
    found["responses"]["503"] = answer("Not ready.", json(_object(ready=_TRUTH)))
    return {"get": found}


def _get(summary: str, schema: Object, errors: Errors, path: str) -> Object:
    return {"get": _operation(summary, schema, errors, path)}


def _of_model(path: str) -> Object:
    ready = _object(name=TEXT, ready=_TRUTH)
    stats = _object(model_stats=_list(_STATS))
    return {
        path: _get("Inputs and outputs", _METADATA, _READY, path),
        f"{path}/ready": _readiness("Whether a model is ready", ready, (UnknownModel,), path),
        f"{path}/config": _get("Triton's ModelConfig", {"type": "object"}, _READY, path),
        f"{path}/stats": _get("Statistics", stats, _READY, path),
        f"{path}/infer": {"post": _infer(path)},
    }


def _repository() -> Object:
    index = _operation("All models", _INDEX, (*BODY_ERRORS, InvalidField), "")
    index["requestBody"] = {"content": json(reference(IndexRequest.__name__))}
    paths: Object = {"/v2/repository/index": {"post": index}}
    for what in ("load", "unload"):
        path = f"/v2/repository/models/{{model}}/{what}"
        text = "Models are read from the server's folder when it starts, and by POST /v1/admin/reload."
        paths[path] = {"post": _operation("Always refused", None, (RequestError, UnknownModel), path, text)}
    return paths


_SERVER = _object(name=TEXT, version=TEXT, extensions=_list(TEXT))
PATHS: Object = {
    "/v2": _get("The server", _SERVER, (), ""),
    "/v2/health/live": _get("As /livez", _object(live=_TRUTH), (), ""),
    "/v2/health/ready": _readiness("As /readyz", _object(ready=_TRUTH), (), ""),
    "/v2/models/stats": _get("All models' statistics", _object(model_stats=_list(_STATS)), (), ""),
    **_of_model("/v2/models/{model}"),
    **_of_model("/v2/models/{model}/versions/{version}"),
    **_repository(),
}
