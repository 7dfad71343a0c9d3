import pytest
from click.testing import CliRunner, Result

from ganserve.__main__ import main
from tests import generators
from tests.generators import Tiny, encoders
from tests.system.serving import serving

MAX_IMAGES = 16
"""Of one request: small, so that a few images already take several."""


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    """A grey, an RGB and an unconditional generator, behind one `bentoml serve`."""
    files = {
        "tiny": Tiny().file(),
        "colour": Tiny(image=(3, 16, 16)).file(),
        "bare": Tiny(classes=None).file(),
    }
    models = generators.folder(tmp_path_factory.mktemp("models"), files)
    encoders.beside(models, "tiny", Tiny())
    home = tmp_path_factory.mktemp("server") / "home"
    with serving(
        home, models=models, default_model="tiny", engine="onnxruntime", max_images_per_request=MAX_IMAGES
    ) as one:
        yield one


@pytest.fixture(autouse=True)
def no_settings_of_the_caller(monkeypatch):
    for name in ("GANSERVE_URL", "GANSERVE_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    """The command line in an empty folder, of the server unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, code: int = 0, url: str = server.url) -> Result:
        result = CliRunner().invoke(main, [str(word) for word in words], env={"GANSERVE_URL": url})
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run
