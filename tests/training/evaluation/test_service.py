"""A running service is judged by the images that its clients get."""

import numpy as np
import pytest

from tests import generators
from tests.generators import Tiny
from tests.system.serving import serving
from training.errors import UserError
from training.evaluation.generated import images_of, open_model, open_url


def test_a_service_draws_what_its_file_draws_and_says_what_runs_it(tmp_path, monkeypatch):
    for name in ("GANSERVE_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    files = {"bare": Tiny(classes=None).file(), "colour": Tiny(image=(3, 16, 16)).file()}
    models = generators.folder(tmp_path / "models", files)
    settings = {
        "models": models,
        "default_model": "colour",
        "engine": "onnxruntime",
        "max_images_per_request": 16,
    }
    with serving(tmp_path / "home", **settings) as server:
        for name in ("colour", "bare"):
            served = open_url(server.url, None if name == "colour" else name)
            file = open_model(models / name, "onnxruntime", "fp32", threads=1)
            assert (served.classes, served.image, served.z_dim) == (file.classes, file.image, file.z_dim)
            for got, want in zip(
                images_of(served, 40, lambda _: None), images_of(file, 40, lambda _: None), strict=True
            ):
                np.testing.assert_array_equal(got, want)
            assert (served.origin["engine"], served.origin["precision"]) == ("onnxruntime", "fp32")
            assert served.origin["model"] == f"{name}@{file.origin['version']}"
        with pytest.raises(UserError, match="nobody"):
            open_url(server.url, "nobody")
