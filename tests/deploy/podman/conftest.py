import pytest

from tests.deploy.podman import containers


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    one = containers.podman(folder)
    containers.build(one, folder / "image")
    return one
