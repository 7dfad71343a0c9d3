"""What few labels and many images taught -> models/<name>/: G as `generator.onnx`, D beside it as `generator.encoder`, the card."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from service.generator import encoder
from service.generator.contract import Contract, version
from service.generator.encoder import EncoderDocument, GoldenCode, encoder_of
from service.generator.loading import CARD, FILE
from training.classification.learning import KNOWN, RECIPE, Learnt, Settings, gan_settings
from training.data.dataset import Dataset
from training.encoding.export import opened, written
from training.evaluation.generated import Source, torch_forward
from training.evaluation.report import table, with_error
from training.export.card import SAMPLES, page, sample_grid, trained_by
from training.export.export import GOLDEN_SAMPLES, contract_of, install, sealed, staged, with_document
from training.export.onnx_graph import to_graph
from training.files import write_atomically
from training.gan.ema import settle_batch_norm
from training.run.checkpoint import Header, TrainedGenerator

HEAD = ("taught by", "right of the test images", "n")


class Served(nn.Module):
    """A picture in levels -> logits of the K classes.

    The K + 1st, that of generated images, is fixed at 0 and left out: what is asked is which class a picture has, and not
    whether it is real, of which the log of the sum of all exponentials would tell.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, image: Tensor) -> Tensor:
        """image: uint8 [N, C, H, W]. Returns float32 [N, K]."""
        return self.classifier(image.float().div(127.5).sub(1))


def export(
    learnt: Learnt,
    settings: Settings,
    dataset: Dataset,
    model: Path,
    baselines: Mapping[str, float],
    threads: int,
) -> dict[str, Any]:
    """Writes the model's folder; returns the figures, those of the classifier's file beside `baselines`, in JSON types.

    baselines: shares of the test images, as `alone` has them. Raises UserError, and then leaves a model of that name as it was.
    """
    assert learnt.generator is not None
    # Its averaged weights, with statistics of their own.
    of_generator, spec, name = gan_settings(), dataset.as_one_class().spec, model.resolve().name
    generator = learnt.generator.requires_grad_(False)
    settle_batch_norm(generator, of_generator, spec)
    trained = TrainedGenerator(generator, of_generator, spec, 0)
    graph, more = to_graph(trained), {"recipe": RECIPE, "command": command(settings, dataset.name, name)}
    run = Header(settings, spec, settings.images)  # pyright: ignore[reportArgumentType]
    contract = contract_of(name, generator, graph, run, None, of_generator.z_dim, **more)
    contract = sealed(graph, contract, torch_forward(trained))
    with staged(model) as folder:
        source = install(graph, contract, folder, threads)
        file = (folder / FILE).read_bytes()
        found = {name: baselines[name] for name in baselines if name != "stopped_after"}
        beside = to_file(learnt.classifier, dataset, source, contract, version(file))
        right = opened(beside)(dataset.test_images)[0].argmax(axis=1) == dataset.test_labels
        quality = figures({KNOWN: float(right.mean())} | found, dataset)
        beside = with_document(beside, quality=quality)
        (folder / SAMPLES).write_bytes(sample_grid(source))
        (folder / CARD).write_text(card(contract, file, beside), "utf-8")
    write_atomically(encoder_of(model / FILE), beside)
    return quality


def to_file(classifier: nn.Module, dataset: Dataset, source: Source, contract: Contract, of: str) -> bytes:
    """The ONNX file, which says what the network says. of: the generator's version. Raises UserError where it does not."""
    served = Served(classifier.requires_grad_(False)).eval()
    images = source.forward(source.drawn(range(GOLDEN_SAMPLES)), None)
    seen = np.concatenate([images, dataset.test_images[:100]])
    with torch.inference_mode():
        want = served(torch.from_numpy(seen)).numpy()
    document = EncoderDocument(
        *(encoder.SCHEMA, of, None, len(dataset.class_names), contract.image),
        training={
            name: contract.training[name] for name in ("dataset", "command", "torch", "settings", "recipe")
        },
        golden=[GoldenCode(seed, logits=want[seed].tolist()) for seed in range(GOLDEN_SAMPLES)],
        class_names=list(dataset.class_names),
    )
    return written(served, document, seen, [want])


def figures(shares: Mapping[str, float], dataset: Dataset) -> dict[str, Any]:
    """Shares of the test images, each with its binomial standard error."""
    n = len(dataset.test_images)
    rows = {
        name: {"value": share, "standard_error": float(np.sqrt(share * (1 - share) / n)), "images": n}
        for name, share in shares.items()
    }
    return {"dataset": dataset.name, "split": dataset.split, "class_accuracy": rows}


def rows(quality: dict[str, Any]) -> list[list[str]]:
    """Of `HEAD`, in text."""
    return [
        [name, with_error(one, 4), f"{one['images']:,}"] for name, one in quality["class_accuracy"].items()
    ]


def command(settings: Settings, dataset: str, name: str) -> str:
    words = ["python", "-m", "training", "classify", "--data", f"data/{dataset}", "--model", f"models/{name}"]
    return shlex.join(
        [*words, *(word for key, value in asdict(settings).items() for word in (f"--{key}", f"{value}"))]
    )


def card(contract: Contract, file: bytes, beside: bytes) -> str:
    """The card in Markdown, from what both files say of themselves: generator and classifier."""
    document, training = encoder.parse(beside), contract.training
    settings, recipe, quality = training["settings"], training["recipe"], document.quality
    length = f"; {settings['images'] // recipe['batch']:,} updates of both networks"
    return page(
        contract,
        file,
        f"A classifier of {len(document.class_names)} classes, taught by {settings['labels']:,} labels and all training images of {training['dataset']}: the discriminator of K + 1 classes of Salimans et al. 2016 ([arXiv 1606.03498](https://arxiv.org/abs/1606.03498), section 5), beside the generator that it was trained with.",
        f"![Samples]({SAMPLES})\n\nEach is a seed of its own, of the generator, which is not told the class.",
        f"z, {contract.z_dim} numbers, standard normal",
        {"classes of `generator.encoder`": ", ".join(document.class_names)},
        f"""## Classifier

`generator.encoder` gives the logits of the classes, and no z: `POST /v1/classifications` asks it. The K + 1st class, that of generated images, is left out, as its logit is 0 by definition and a picture that is sent is not asked whether it is real. It has {len(beside):,} bytes.""",
        trained_by(training, training["command"], length),
        f"""## Figures

The share of held-out pictures that the file names right (split: {quality["split"]}), ± one standard error (binomial), beside the same network on the same labels and nothing else, in as many updates; a fifth of the labels says when to stop early, and no test image.

{table(HEAD, rows(quality), HEAD[:1])}

One draw of the labels: the errors say nothing of the spread between draws, of which docs/studies.md has three.""",
        f"""## Limits

- What has no class gets one: probabilities are among these classes, whatever the picture is.
- The probabilities are not calibrated.
- The generator's part is to teach: it matches features of the classifier, and no figure says how good its pictures are.
- It knows what {training["dataset"]} holds, with its biases.""",
    )
