import pytest

from tests import interfaces
from tests.deploy.podman import containers


@pytest.fixture(scope="module", autouse=True)
def _interfaces():
    """Before any container of this file, and until its last one is gone."""
    with interfaces.changing():
        yield


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    one = containers.podman(folder)
    containers.build(one, folder / "image")
    return one
