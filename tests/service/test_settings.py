from dataclasses import fields
from pathlib import Path

import pytest

from service import settings
from service.environment import from_environment, unknown_names
from service.errors import SettingsError
from service.machine.hardware import default_workers
from service.settings import Settings

DEFAULT = Settings(workers=default_workers())


def test_an_empty_environment_gives_the_defaults():
    assert from_environment({}) == DEFAULT
    assert from_environment({"GANSERVE_THREADS": "", "GANSERVE_ENGINE": "  "}) == DEFAULT
    assert from_environment({"GANSERVE_WORKERS": "0"}) == DEFAULT


def test_every_setting_is_read_from_its_variable():
    environ = {
        "GANSERVE_MODELS": "/somewhere/else",
        "GANSERVE_DEFAULT_MODEL": "faces",
        "GANSERVE_MAX_VERSIONS": "6",
        "GANSERVE_MAX_LOADED_MB": "64.5",
        "GANSERVE_ENGINE": "Fake",
        "GANSERVE_PRECISION": "bf16",
        "GANSERVE_ENGINES": "tiny=openvino/bf16",
        "GANSERVE_WORKERS": "2",
        "GANSERVE_THREADS": "3",
        "GANSERVE_MAX_BATCH": "16",
        "GANSERVE_MAX_QUEUE_IMAGES": "5000",
        "GANSERVE_MAX_WAIT_SECONDS": "1.5",
        "GANSERVE_MAX_IMAGES_PER_REQUEST": " 1000 ",
        "GANSERVE_MAX_DATASET_IMAGES": "0",
        "GANSERVE_PROVENANCE": "ON",
        "GANSERVE_CREDENTIALS_CERTIFICATE": "/run/secrets/chain.pem",
        "GANSERVE_CREDENTIALS_KEY": "/run/secrets/private.pem",
        "GANSERVE_WATCH_SHARE": "0.02",
        "GANSERVE_SIGNING_KEY": "/run/secrets/key.pub",
        "GANSERVE_MAX_BODY_BYTES": "2048",
        "GANSERVE_TIMEOUT_SECONDS": "2.5",
        "GANSERVE_CLIENT_SECONDS": "4",
        "GANSERVE_DRAIN_SECONDS": "0",
        "GANSERVE_WATCHDOG_SECONDS": "0",
        "GANSERVE_FAKE_FAULTS": "/tmp/faults",
        "GANSERVE_GRPC_PORT": "8001",
        "GANSERVE_PUBLIC_URL": "https://images.example.com/gan",
        "GANSERVE_API_KEYS_FILE": "/run/secrets/keys.toml",
        "GANSERVE_API_KEYS": "shop:0123456789abcdef",
        "GANSERVE_CORS_ORIGINS": "https://a.example.com, http://localhost:8080",
    }
    assert from_environment(environ) == Settings(
        models=Path("/somewhere/else"),
        default_model="faces",
        max_versions=6,
        max_loaded_mb=64.5,
        engine="fake",
        precision="bf16",
        engines="tiny=openvino/bf16",
        workers=2,
        threads=3,
        max_batch=16,
        max_queue_images=5000,
        max_wait_seconds=1.5,
        max_images_per_request=1000,
        max_dataset_images=0,
        provenance="on",
        credentials_certificate="/run/secrets/chain.pem",
        credentials_key="/run/secrets/private.pem",
        watch_share=0.02,
        signing_key="/run/secrets/key.pub",
        max_body_bytes=2048,
        timeout_seconds=2.5,
        client_seconds=4,
        drain_seconds=0,
        watchdog_seconds=0,
        fake_faults="/tmp/faults",
        grpc_port=8001,
        public_url="https://images.example.com/gan",
        api_keys_file="/run/secrets/keys.toml",
        api_keys="shop:0123456789abcdef",
        cors_origins="https://a.example.com, http://localhost:8080",
    )
    assert len(environ) == len(fields(Settings)), "a new setting belongs in this test"


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("ENGINE", "tensorflow", "auto, onnxruntime, openvino, fake"),
        ("PRECISION", "int8", "auto, fp32, tf32, bf16, fp16"),
        ("WORKERS", "257", "from 0 to 256"),
        ("ENGINES", "tiny=fast/fp32", "tiny=fast/fp32"),
        ("ENGINES", "tiny=openvino", "MODEL=ENGINE/PRECISION"),
        ("WORKERS", "1.5", "a whole number"),
        ("WORKERS", "many", "a whole number"),
        ("THREADS", "-1", "from 0 to 1024"),
        ("MAX_BATCH", "1e3", "a whole number"),
        ("MAX_QUEUE_IMAGES", "0", "from 1 to"),
        ("MAX_IMAGES_PER_REQUEST", "0", "from 1 to"),
        ("MAX_BODY_BYTES", "9" * 5000, "a whole number"),
        ("TIMEOUT_SECONDS", "nan", "from 0.001 to 3600"),
        ("TIMEOUT_SECONDS", "inf", "from 0.001 to 3600"),
        ("TIMEOUT_SECONDS", "30s", "a number"),
        ("DRAIN_SECONDS", "-0.1", "from 0 to 3600"),
        ("PUBLIC_URL", "images.example.com", "http:// or https://"),
        ("PUBLIC_URL", "ftp://images.example.com", "http:// or https://"),
        ("PUBLIC_URL", "https://", "a host"),
        ("PUBLIC_URL", "https://images.example.com/?a=b", "no more"),
        ("PUBLIC_URL", "https://user@images.example.com", "no more"),
        ("CORS_ORIGINS", "a.example.com", "http:// or https://"),
        ("CORS_ORIGINS", "https://a.example.com/", "a port if any"),
        ("CORS_ORIGINS", "https://a.example.com,https://*.example.com", "origins as browsers send them"),
        ("CORS_ORIGINS", "https://A.example.com", "lower case"),
        ("CORS_ORIGINS", "null", "http:// or https://"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_variable_and_what_is_allowed(name, value, allowed):
    with pytest.raises(SettingsError) as caught:
        from_environment({f"GANSERVE_{name}": value})
    text = str(caught.value)
    assert text.startswith(f"GANSERVE_{name} is ")
    assert allowed in text
    assert "\n" not in text


def test_a_request_that_could_never_be_accepted_can_not_be_configured():
    with pytest.raises(
        SettingsError, match=r"GANSERVE_MAX_IMAGES_PER_REQUEST is 256.*GANSERVE_MAX_QUEUE_IMAGES"
    ):
        from_environment({"GANSERVE_MAX_QUEUE_IMAGES": "100"})


def test_origins_are_listed_with_commas():
    assert Settings().origins == []
    assert Settings(cors_origins="*").origins == ["*"]
    given = "https://a.example.com, http://localhost:8080,"
    assert Settings(cors_origins=given).origins == ["https://a.example.com", "http://localhost:8080"]


def test_keys_are_in_no_printed_settings():
    assert "hunter2" not in repr(Settings(api_keys="shop:hunter2hunter2hunter2"))


def test_faults_can_only_be_made_by_the_fake_engine():
    with pytest.raises(SettingsError, match="only `fake` makes faults"):
        from_environment({"GANSERVE_FAKE_FAULTS": "/tmp/faults"})


def test_an_unknown_name_is_a_warning_with_the_nearest_setting():
    environ = {"GANSERVE_TREADS": "2", "GANSERVE_XYZ": "1", "PATH": "/bin", "GANSERVE_ENGINE": "fake"}
    assert unknown_names(environ) == [
        "GANSERVE_TREADS is not a setting and has no effect; did you mean GANSERVE_THREADS?",
        "GANSERVE_XYZ is not a setting and has no effect",
    ]


def test_names_that_kubernetes_and_clients_set_are_known():
    # What a pod sees beside a Service named `ganserve` with a port named `http`.
    injected = [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_3000_TCP",
        "PORT_3000_TCP_ADDR",
    ]
    assert unknown_names({f"GANSERVE_{name}": "tcp://10.0.0.1:3000" for name in [*injected, "URL"]}) == []
    assert from_environment({"GANSERVE_PORT": "tcp://10.0.0.1:3000"}) == DEFAULT


def test_the_table_has_one_documented_row_a_setting():
    rows = settings.table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [
        f"GANSERVE_{setting.name.upper()}" for setting in fields(Settings)
    ]
    assert all(len(row.split("|")[3].strip()) > 20 for row in rows)
