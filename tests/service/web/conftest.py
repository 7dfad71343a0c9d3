import pytest

from tests.generators import Tiny, encoders
from tests.service.loaded import loaded
from tests.service.web.site import Site


@pytest.fixture(scope="package")
def site(tmp_path_factory):
    """A grey generator with its encoder, an RGB and an unconditional one, on OpenVINO, with small limits."""
    files = {
        "tiny": Tiny().file(),
        "colour": Tiny(image=(3, 8, 8)).file(),
        "bare": Tiny(classes=None).file(),
    }
    settings = {
        "engine": "openvino",
        "default_model": "tiny",
        "threads": 2,
        "max_images_per_request": 64,
        "max_body_bytes": 65536,
    }
    root = tmp_path_factory.mktemp("models")
    encoders.beside(root, "tiny", Tiny())
    with loaded(root, files, **settings) as models:
        yield Site(models)
