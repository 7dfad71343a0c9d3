import pytest

from tests.system.hostile.attacking import MOST_GROWTH_BYTES, memory
from tests.system.serving import serving


@pytest.fixture(scope="package")
def target(small_models, tmp_path_factory):
    """A server with one worker, for all attacks."""
    home = tmp_path_factory.mktemp("target") / "home"
    with serving(home, models=small_models, default_model="tiny", engine="fake") as one:
        yield one


@pytest.fixture(scope="package")
def well(target):
    """What it answers, and the processes that it is, before anything; which are not much larger at the end."""
    picture, processes = target.samples(seed=7).content, target.workers()
    before = memory(processes)
    yield picture, processes
    assert memory(processes) - before < MOST_GROWTH_BYTES


@pytest.fixture
def unharmed(target, well):
    """After every attack."""
    yield
    assert (target.samples(seed=7).content, target.workers()) == well
