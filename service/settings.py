"""Every setting: its default, what it may be, and what docs/settings.md says of it."""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from service.errors import SettingsError

PREFIX = "GANSERVE_"

ENGINES = ("auto", "onnxruntime", "openvino", "fake")
PRECISIONS = ("auto", "fp32", "tf32", "bf16", "fp16")

_PIN = re.compile(rf"([a-z0-9][a-z0-9._-]{{0,63}})=({'|'.join(ENGINES)})/({'|'.join(PRECISIONS)})")
_PUBLIC_URL = re.compile(r"https?://[\w.\-\[\]:]+(?:/[\w.~\-/]*)?", re.ASCII)
_ORIGIN = re.compile(r"\*|https?://[a-z0-9.\-\[\]:]+", re.ASCII)  # as browsers write it


def _setting(default: Any, text: str, **bounds: Any) -> Any:
    return field(default=default, metadata={"text": text, **bounds}, repr=not bounds.get("secret"))


@dataclass(frozen=True)
class Settings:
    """One field a setting; the environment variable is GANSERVE_ and the field's name in capitals."""

    models: Path = _setting(
        Path("models"), "Folder with one subfolder per model, each holding `generator.onnx`."
    )
    default_model: str = _setting(
        "fashion-mnist", "Model of requests that name none; where there is no such model, the first by name."
    )
    max_versions: int = _setting(
        4,
        "Most versions of a model in memory: `generator.onnx`, and the newest other `*.onnx` beside it.",
        low=1,
        high=1000,
    )
    max_loaded_mb: float = _setting(
        1024.0,
        "Megabytes that the loaded models of a worker may take: each takes three times its file, 10 MB, and 0.4 kB for each pixel of a pass (19 MB with 28x28 pixels, 100 MB with 64x64 or more), and twice that where the file gives more than a picture. A model beyond that is loaded when it is first asked for, and the least recently used one is unloaded.",
        low=0.001,
        high=10_000_000,
    )
    engine: str = _setting(
        "auto",
        "What runs the forward passes. `auto`: ONNX Runtime on CUDA where there is a GPU, workers taking GPUs in turn; on a CPU, for each file, ONNX Runtime or OpenVINO, if that is clearly the faster on this machine. `fake` paints test pictures.",
        choices=ENGINES,
    )
    precision: str = _setting(
        "auto",
        "Arithmetic of the forward passes. `auto` is `fp32`; on a CPU `bf16`, on CUDA `tf32` or `fp16`, if it is measured to be clearly faster there, and the model's own figures show its images to be as good. `tf32` is for CUDA, `fp16` for CUDA and for CPUs that have it.",
        choices=PRECISIONS,
    )
    engines: str = _setting(
        "",
        "Engine and precision of single models, before the two above: `fashion-mnist=openvino/bf16,gan=onnxruntime/fp32`. `/v1/models` of a replica says each model's as `engine.pin`, to be copied to others.",
    )
    # One for whoever makes Settings himself; the environment's default is 0, what the machine has.
    workers: int = _setting(
        1,
        "Worker processes, each with its own engine; 0: one per core that this container may use, four at most; with a GPU one per GPU.",
        low=0,
        high=256,
        shown="0",
    )
    threads: int = _setting(
        0,
        "Passes that a worker may run at once, one CPU thread each; 0: twice its part of the cores, of which it takes those that no other worker uses.",
        low=0,
        high=1024,
    )
    max_batch: int = _setting(
        0,
        "Most images in one forward pass; 0: on CPU 8, and up to 64 of several requests as long as a pass takes 50 ms at most; on a GPU what is measured to be worth it when a model is loaded, 512 at most, padded to powers of two.",
        low=0,
        high=4096,
    )
    max_queue_images: int = _setting(
        8192,
        "Images accepted and not yet answered, per worker; what would be more gets 429. An image counts once for every 32,768 pixels (181x181) that it begins, so that all together never have more than some 270 million by default, 0.8 GB in RGB. Of several models each keeps a part for itself. Mostly `GANSERVE_MAX_WAIT_SECONDS` is reached first.",
        low=1,
        high=10_000_000,
    )
    max_wait_seconds: float = _setting(
        1.0,
        "Longest that a request may be expected to wait for what comes before its last forward pass, or four times what its own images take, if that is longer; one that would wait longer gets 429. Models share the lanes, so with several of them it is reached the sooner.",
        low=0.001,
        high=3600,
    )
    max_images_per_request: int = _setting(
        256,
        "Largest `n` of one request; of images larger than 181x181 fewer, counted as above: 32 of 512x512.",
        low=1,
        high=100_000,
    )
    max_dataset_images: int = _setting(
        100_000, "Largest `n` of one request to `/v1/datasets`; 0: none is answered.", low=0, high=2**53
    )
    provenance: str = _setting(
        "off",
        "Whether pictures say what made them, as XMP ([what](provenance.md)): model, version, engine, and what draws them again. `on` changes the bytes and tags of pictures, not their pixels.",
        choices=("off", "on"),
    )
    credentials_certificate: str = _setting(
        "",
        "File of a certificate chain (PEM): pictures get content credentials (C2PA), signed ([how](provenance.md#content-credentials)). Needs `pip install 'ganserve[credentials]'`. Empty: none.",
    )
    credentials_key: str = _setting("", "File of that certificate's key (PEM, PKCS #8 without a password).")
    watch_share: float = _setting(
        0.0,
        "Part of one lane's time, per worker, that goes to watching what the models draw, where a model has `generator.watch` beside it ([how](operations.md#watching-quality)); 0: none. `0.02` sees a model that draws worse within minutes.",
        low=0,
        high=0.5,
    )
    max_body_bytes: int = _setting(
        4 * 2**20, "Largest request body; a larger one gets 413.", low=1024, high=2**30
    )
    timeout_seconds: float = _setting(
        30.0,
        "Longest that a request may take; a longer one gets 504. A request may ask for less.",
        low=0.001,
        high=3600,
    )
    client_seconds: float = _setting(
        20.0,
        "How long a client may take for a request's head, and how long it may take nothing of an answer; then its connection is closed.",
        low=0.1,
        high=3600,
    )
    drain_seconds: float = _setting(
        5.0,
        "After SIGTERM: how long requests are still answered while `/readyz` says 503. `make serve` and `ganserve serve` set 0, since no balancer stands in front.",
        low=0,
        high=3600,
    )
    watchdog_seconds: float = _setting(
        60.0,
        "How long one forward pass, or one turn of the event loop, may take; past it the process ends, to be started anew. More than any pass takes; 0: any time.",
        low=0,
        high=3600,
    )
    fake_faults: str = _setting(
        "",
        "For rehearsals with the `fake` engine: a file that each of its passes reads, if it is there; `fail`, `hang`, or the seconds to take.",
    )
    grpc_port: int = _setting(
        0,
        "Port of KServe V2 over gRPC, at the address that HTTP has, without TLS; 0: none.",
        low=0,
        high=65535,
    )
    public_url: str = _setting(
        "",
        "What addresses in replies begin with, as `https://images.example.com`. Empty: the scheme and the `Host` of the request; `X-Forwarded-Proto` counts from proxies that uvicorn's `FORWARDED_ALLOW_IPS` names (`127.0.0.1`), `X-Forwarded-Host` never. A proxy that takes a path away says which in `X-Forwarded-Prefix`.",
    )
    api_keys_file: str = _setting(
        "",
        "File of the API keys, in TOML: their names, scopes and quotas ([the format](security.md#api-keys)). With no key here or in the next, every route is open, but orders (`/v1/admin`) only to the user whom the service runs as.",
    )
    api_keys: str = _setting(
        "",
        "API keys in short: `shop:KEY,ops:KEY:sample+metrics+admin`. They hold beside those of the file.",
        secret=True,
    )
    signing_key: str = _setting(
        "",
        "File of a public key (PEM, elliptic curve): only models whose folder it signed are served, by OpenSSF Model Signing's `model.sig` beside the file ([how](security.md#signed-models)). Needs `pip install 'ganserve[signing]'`.",
    )
    cors_origins: str = _setting(
        "",
        "Pages of other origins that may read replies, as `https://shop.example.com,https://other.example.com`, or `*`.",
    )

    @property
    def origins(self) -> list[str]:
        """What cors_origins lists."""
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]

    def engine_of(self, model: str) -> tuple[str, str]:
        """Engine and precision of a model, by name."""
        return _pins(self.engines).get(model, (self.engine, self.precision))

    def __post_init__(self) -> None:
        _pins(self.engines)
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError(
                    f"GANSERVE_CORS_ORIGINS is '{self.cors_origins}': it must be * or origins as browsers send them, "
                    "http:// or https://, a host in lower case, and a port if any, with commas between."
                )
        if self.public_url and not _PUBLIC_URL.fullmatch(self.public_url):
            raise SettingsError(
                f"GANSERVE_PUBLIC_URL is '{self.public_url}': it must be http:// or https://, a host, a port and "
                "a path if any, and no more."
            )
        if self.fake_faults and self.engine != "fake":
            raise SettingsError(
                f"GANSERVE_FAKE_FAULTS is set, and GANSERVE_ENGINE is {self.engine}: only `fake` makes faults."
            )
        if self.max_images_per_request > self.max_queue_images:
            raise SettingsError(
                f"GANSERVE_MAX_IMAGES_PER_REQUEST is {self.max_images_per_request}: it can be at most "
                f"GANSERVE_MAX_QUEUE_IMAGES, {self.max_queue_images}, or such a request could never be accepted."
            )


def table() -> str:
    """The settings as the Markdown table of docs/settings.md."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for setting in fields(Settings):
        choices = setting.metadata.get("choices")
        allowed = f" One of {', '.join(f'`{c}`' for c in choices)}." if choices else ""
        shown = setting.metadata.get("shown", setting.default)
        default = "" if shown == "" else f"`{shown}`"
        rows.append(f"| `{PREFIX}{setting.name.upper()}` | {default} | {setting.metadata['text']}{allowed} |")
    return "\n".join(rows)


def _pins(text: str) -> dict[str, tuple[str, str]]:
    """Engine and precision by model, of settings.engines. Raises SettingsError."""
    pins = {}
    for one in filter(None, (part.strip() for part in text.split(","))):
        match = _PIN.fullmatch(one)
        if match is None:
            raise SettingsError(
                f"GANSERVE_ENGINES is '{text}': '{one}' must be MODEL=ENGINE/PRECISION, with commas between; engines are "
                f"{', '.join(ENGINES)}, precisions {', '.join(PRECISIONS)}."
            )
        pins[match[1]] = match[2], match[3]
    return pins


if __name__ == "__main__":
    print(table())
