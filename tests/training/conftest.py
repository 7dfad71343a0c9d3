from collections.abc import Iterator

import pytest
import torch
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks of these tests are too small for two, and `--threads` of one test must not reach the next."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # BLAS too, whose threads spin while they wait: on a busy machine a tenth of a second became seconds.
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)
