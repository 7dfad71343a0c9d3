"""Batches of generated images straight from the service, as a torch DataLoader: here a small classifier learns from them.

Needs a service that runs (`make serve`), torch and the client: `make dev` installs both into .venv-dev.

    .venv-dev/bin/python examples/torch_dataloader.py --batches 40 --workers 2
"""

import argparse
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ganserve import Client


class GeneratedImages(IterableDataset):
    """`batches` batches of labelled images, each seed once, however many processes of a DataLoader draw them.

    Yields float32 [batch, C, H, W] from -1 to 1, and int64 [batch] labels. The same seeds give the same images.
    """

    def __init__(
        self, url: str, batch: int, batches: int, *, seed: int = 0, model: str | None = None
    ) -> None:
        self.url, self.model = url, model
        self.batch, self.batches, self.seed = batch, batches, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        # A client of its own: connections must not be shared with other processes.
        with Client(self.url) as client:
            for number in range(first, self.batches, step):
                drawn = client.sample(n=self.batch, seed=self.seed + number * self.batch, model=self.model)
                if drawn.labels is None:
                    raise ValueError(f"{drawn.model} is not told the class: its images have no labels")
                images = torch.from_numpy(drawn.images).permute(0, 3, 1, 2)
                yield images.float() / 127.5 - 1, torch.from_numpy(drawn.labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://localhost:3000")
    parser.add_argument("--model", help="one of the server's; its default model if not given")
    parser.add_argument("--batch", type=int, default=256, help="images per batch (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=40, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that ask (default: %(default)s)")
    asked = parser.parse_args()

    with Client(asked.url) as client:
        first = client.sample(n=1, seed=0, model=asked.model)
        classes = client.model(f"{first.model}@{first.version}")["classes"]
    # batch_size=None: the batches come as they are.
    images = GeneratedImages(asked.url, asked.batch, asked.batches, model=asked.model)
    loader = DataLoader(images, batch_size=None, num_workers=asked.workers)

    torch.manual_seed(0)
    classifier = nn.Sequential(nn.Flatten(), nn.Linear(first.images[0].size, len(classes)))
    optimizer = torch.optim.Adam(classifier.parameters(), lr=3e-3)
    begun, losses = time.monotonic(), []
    for batch, labels in loader:
        loss = nn.functional.cross_entropy(classifier(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    seconds = time.monotonic() - begun
    count = asked.batch * asked.batches
    print(
        f"{count} images of {first.model} in {seconds:.1f} s; loss {losses[0]:.2f} -> {losses[-1]:.2f} nats"
    )


if __name__ == "__main__":
    main()
