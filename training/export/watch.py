"""`generator.watch` beside a model: a judge of its data set as ONNX, and what it sees in real images and in the model's own."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from service.generator.loading import FILE
from service.generator.quality import reference
from training.errors import UserError
from training.evaluation.generated import images_of, open_model
from training.evaluation.quality.judge import Judge
from training.evaluation.reference import Reference, floor_samples
from training.export.onnx_graph import traced
from training.files import write_atomically

_DRAWS = 10  # of the model's images, which its limits are made of
_IMAGES, _OF_A_CLASS = 1000, 32  # of a window, at least


class _Eyes(nn.Module):
    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.network = judge.network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image: uint8 [N, C, H, W]. Returns features, float32 [N, F], and logits, float32 [N, K]."""
        hidden = self.network.trunk(image.float().div(127.5).sub(1))
        return hidden, self.network.head(hidden)


def write_watch(model: Path, real: Reference, threads: int) -> None:
    """By the last judge, which is the one that choices are made by. Raises UserError."""
    bench, dataset = real.benches[-1], real.dataset
    size = min(real.size, max(_IMAGES, _OF_A_CLASS * len(dataset.class_names)))
    source = open_model(model, threads=threads)
    images, labels = images_of(source, _DRAWS * size, lambda _: None)
    parts = [slice(i * size, (i + 1) * size) for i in range(_DRAWS)]
    own = [(images[part], labels[part] if source.has_classes else None) for part in parts]
    others = [(one.images, one.labels) for one in floor_samples(dataset, bench.settings, size)]
    held_out = real.held_out
    example = {"image": torch.from_numpy(held_out.images[:2])}
    free = {"image": {0: torch.export.Dim("N")}}
    graph = traced(_Eyes(bench.judge), example, free, "judge", ["features", "logits"])
    file = reference.write(graph, (held_out.images, held_out.labels), others, own)
    got, want = reference.Judge(file)(images[:size], None).features, bench.judge(images[:size]).features
    if not np.allclose(got, want, rtol=1e-3, atol=1e-3 * float(np.abs(want).max())):
        raise UserError("generator.watch is not written: ONNX Runtime sees other features than torch")
    write_atomically(reference.watch_of(model / FILE), file)
