"""Weights and figures after some updates of each preset: `torchrun ... -m tests.training.run.in_processes OUT` or in one process."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.training.test_presets import narrow, start
from training.gan.step import train_step
from training.presets import PRESETS
from training.processes import joined, rank, share_batch_norms

UPDATES = 4


def trained(preset: str) -> dict[str, torch.Tensor]:
    """By plain descent: Adam divides by the gradient's size, and so makes a rounding error of 0 a whole step."""
    more = {"r1_every": 1, "augment": "brightness,translation,cutout"} if preset in ("ns-r1", "rpgan") else {}
    settings = replace(narrow(preset), optimiser="sgd", lr_g=1e-2, lr_d=1e-2, **more)
    trainer, state, _ = start(settings)
    for network in (state.G, state.D):
        share_batch_norms(network)
    found = {}
    for i in range(UPDATES):
        found |= {f"{i} {name}": value.clone() for name, value in train_step(trainer, state).items()}
    for name, network in (("G", state.G), ("D", state.D), ("average", state.average)):
        found |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined(torch.device("cpu")):
        results = {preset: trained(preset) for preset in PRESETS}
        if rank() == 0:
            torch.save(results, Path(sys.argv[1]))
    # Once in a dozen runs on a busy machine a thread of torch's aborted the interpreter's own end, when all was saved.
    os._exit(0)
