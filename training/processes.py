"""A run in several processes, as torchrun starts them: what each takes of a batch, and what they tell each other.

Each takes every n-th row of the same draws. Averaged gradients and figures, and batch norms over all rows, then make the updates
those of one process, which everything here is in a run that torchrun did not start.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from training.errors import UserError

Rows = TypeVar("Rows")
Found = TypeVar("Found")


def rank() -> int:
    return int(os.environ["RANK"]) if dist.is_torchelastic_launched() else 0


def local_rank() -> int:
    """Among those of this machine."""
    return int(os.environ["LOCAL_RANK"]) if dist.is_torchelastic_launched() else 0


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """All processes that torchrun started, until one ends. Raises UserError where another has ended too early.

    Of an error, which most have in common, the first process of each machine speaks.
    """
    if not dist.is_torchelastic_launched():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        # What is told and the figures that are read lie on the CPU.
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        yield
    except (RuntimeError, UserError) as error:
        told = isinstance(error, UserError)
        # Gloo has no class of its own.
        lost = not told and (isinstance(error, dist.DistError) or "gloo" in str(error).lower())
        if local_rank() > 0 and (told or lost):
            raise SystemExit(1) from error
        if lost:
            raise UserError(
                "another process of this run ended, and so do all: the same command goes on from the last checkpoint"
            ) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def own(rows: Rows) -> Rows:
    """This process's rows of a draw or batch for all. Every n-th: so they are also where two batches stand in one draw."""
    return rows[rank() :: count()]  # pyright: ignore[reportIndexIssue]


def whole(own_rows: int) -> int:
    """Of how many rows those are."""
    return own_rows * count()


def from_first(find: Callable[[], Found]) -> Found:
    """What the first process finds, which alone looks, or the UserError that it raises; to be called by all."""
    if count() == 1:
        return find()
    found: list[Any] = [None]
    if rank() == 0:
        try:
            found = [find()]
        except UserError as error:
            found = [error]
    dist.broadcast_object_list(found)
    if isinstance(found[0], UserError):
        raise found[0]
    return found[0]


def any_of(said: bool) -> bool:
    """Whether any process says so; to be called by all."""
    saying = torch.tensor(float(said))
    average([saying])
    return bool(saying)


@torch.no_grad()
def average(tensors: list[Tensor]) -> None:
    """In place, over all processes; in one message."""
    if count() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten().float() for tensor in tensors])
    dist.all_reduce(flat)
    parts = (flat / count()).split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """F.dropout, by this process's rows of the draw for all."""
    if not training or count() == 1:
        return F.dropout(x, share, training)
    return x * own(F.dropout(x.new_ones(whole(len(x)), *x.shape[1:]), share))


class OverAll(torch.autograd.Function):
    """The mean over all processes; its gradient is that of all of them, too."""

    @staticmethod
    def forward(_: Any, *own: Tensor) -> Tensor:
        mean = own[0].clone()
        average([mean])
        return mean

    @staticmethod
    def backward(_: Any, *gradient: Tensor) -> Any:
        # By `apply`, for penalties that differentiate it once more.
        return OverAll.apply(*gradient)


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the rows of all processes; torch's own needs a GPU."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        x, over = input.float(), (0, 2, 3)
        mean = OverAll.apply(x.mean(over))
        centred = x - mean[:, None, None]
        variance = OverAll.apply(centred.square().mean(over))
        size = whole(x.numel() // x.shape[1])
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.detach(), self.momentum)
        self.running_var.lerp_(variance.detach() * size / (size - 1), self.momentum)
        scale = (variance + self.eps).rsqrt() * (1 if self.weight is None else self.weight)
        shift = 0 if self.bias is None else self.bias[:, None, None]
        return (centred * scale[:, None, None] + shift).to(input.dtype)


def share_batch_norms(network: nn.Module) -> None:
    """To be called by all, of what they train: a copy that one draws with must not wait for the others."""
    if count() > 1:
        for module in network.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = SharedBatchNorm
