import pytest

from tests import generators
from tests.generators import Tiny, encoders, texts
from tests.generators import translators as translators_of
from tests.system.serving import serving

SMALL = {"tiny": Tiny(), "colour": Tiny(image=(3, 16, 16)), "bare": Tiny(classes=None)}
SLOW = Tiny(burn=128, golden_samples=1)  # some 40 ms a pass, whether of one image or of eight


@pytest.fixture(scope="session")
def small_models(tmp_path_factory):
    """`tiny` has an encoder, here and below."""
    root = generators.folder(
        tmp_path_factory.mktemp("small"), {name: tiny.file() for name, tiny in SMALL.items()}
    )
    encoders.beside(root, "tiny", SMALL["tiny"])
    return root


@pytest.fixture(scope="session")
def all_models(tmp_path_factory):
    files = {name: tiny.file() for name, tiny in {**SMALL, "slow": SLOW}.items()}
    root = generators.folder(tmp_path_factory.mktemp("all"), files)
    encoders.beside(root, "tiny", SMALL["tiny"])
    return root


@pytest.fixture(scope="session")
def server(all_models, tmp_path_factory):
    """One server with the default settings, on onnxruntime, for all tests that leave it as it was."""
    home = tmp_path_factory.mktemp("server") / "home"
    with serving(home, models=all_models, default_model="tiny", engine="onnxruntime") as one:
        yield one


@pytest.fixture(scope="session")
def translators(tmp_path_factory):
    """One server of generators that are given a picture, beside one that is not, which is the default."""
    files = {"tiny": Tiny(), "inverter": translators_of.PLAIN, "full": translators_of.FULL}
    home = tmp_path_factory.mktemp("translators")
    models = generators.folder(home / "models", {name: one.file() for name, one in files.items()})
    with serving(
        home / "home", models=models, default_model="tiny", engine="onnxruntime", provenance="on"
    ) as one:
        yield one


@pytest.fixture(scope="session")
def readers(tmp_path_factory):
    """One server of a generator that reads a text, beside one that does not, which is the default."""
    home = tmp_path_factory.mktemp("readers")
    files = {"tiny": Tiny().file(), "reader": texts.WORDY.file()}
    models = generators.folder(home / "models", files)
    with serving(home / "home", models=models, default_model="tiny", engine="onnxruntime") as one:
        yield one
