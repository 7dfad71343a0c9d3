import pytest
import torch

from training import device
from training.device import choose_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("fast", "expected"), [(True, "bf16 autocast"), (False, "fp32")])
def test_auto_takes_bf16_only_where_the_hardware_multiplies_it(
    fast: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "multiplies_bf16", lambda _: fast)
    assert choose_precision("auto", CPU)[1] == expected


def test_asked_for_precision_is_kept() -> None:
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        with choose_precision(precision, CPU)[0]():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
