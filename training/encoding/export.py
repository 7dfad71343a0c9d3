"""E as `generator.encoder` beside its generator, and its section in the card."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.errors import ContractError
from service.generator import encoder as contract
from service.generator.encoder import EncoderDocument, GoldenCode, encoder_of
from service.generator.engines.ort import new_session
from service.generator.loading import card_of
from training.data.dataset import Dataset, Pixels
from training.encoding.fit import Recipe, Target
from training.encoding.measure import HEAD, Encode, again, held_out, rows, words
from training.errors import UserError
from training.evaluation.report import table
from training.export.card import COLUMNS, shown, with_section
from training.export.export import with_document
from training.export.onnx_graph import traced
from training.files import write_atomically
from training.gan.networks.encoder import Encoder
from training.settings import Settings

GOLDEN = range(10)
# Of z and logits, which are of the order of 1: engines add in other orders.
TOLERANCE = 1e-3
_BATCH = 100


def to_file(
    encoder: Encoder, target: Target, dataset: str, command: str, settings: Recipe | Settings
) -> bytes:
    """The ONNX file, which finds what the network finds. command: what made it. Raises UserError where it does not."""
    images, labels = golden(target)
    with torch.inference_mode():
        want = [one.numpy() for one in encoder(torch.from_numpy(images))]
    codes = [
        GoldenCode(seed, z.tolist(), None if labels is None else int(labels[i]))
        for i, (seed, z) in enumerate(zip(GOLDEN, want[0], strict=True))
    ]
    of, classes = target.contract, None if target.contract.classes is None else target.contract.class_count
    training = {"dataset": dataset, "command": command, "torch": str(torch.__version__)}
    training |= {
        "parameters": sum(one.numel() for one in encoder.parameters()),
        "settings": asdict(settings),
    }
    document = EncoderDocument(
        contract.SCHEMA, target.version, of.z_dim, classes, of.image, training, golden=codes
    )
    return written(encoder, document, images, want)


def written(
    network: nn.Module, document: EncoderDocument, images: Pixels, want: Sequence[NDArray[np.float32]]
) -> bytes:
    """The ONNX file of an encoder or a classifier. want: what the network finds in these images. Raises UserError where the file does not."""
    kind, other = ("encoder", "finds another z") if document.z_dim else ("classifier", "names other classes")
    example, free = {"image": torch.from_numpy(images[:2])}, {"image": {0: torch.export.Dim("N")}}
    graph = traced(network, example, free, kind, list(document.outputs))
    try:
        file = contract.write(graph, document)
    except ContractError as error:
        raise UserError(f"not written: {error}") from error
    pairs = zip(opened(file)(images), want, strict=True)
    if not all(np.allclose(found, wanted, TOLERANCE, TOLERANCE) for found, wanted in pairs):
        raise UserError(f"not written: ONNX Runtime {other} than torch")
    return file


def golden(target: Target) -> tuple[Pixels, np.ndarray | None]:
    """The generator's own pictures of the golden seeds, and their labels."""
    labels = target.labels(np.array(GOLDEN) % max(1, target.contract.class_count))
    return target.source.forward(target.contract.drawn(GOLDEN), labels), labels


def opened(file: bytes) -> Encode:
    session = new_session(file, ["CPUExecutionProvider"], threads=1)

    def encode(images: Pixels) -> tuple[np.ndarray, ...]:
        parts = [session.run(None, {"image": images[i : i + _BATCH]}) for i in range(0, len(images), _BATCH)]
        return tuple(np.concatenate(one) for one in zip(*parts, strict=True))

    return encode


def read(target: Target) -> bytes:
    """The encoder that lies beside the generator, as one of this version of it: the pictures decide, not the name.

    A generator whose card or figures were written anew is another version that draws the same pictures.
    Raises UserError: there is none, or it is of another generator.
    """
    path = encoder_of(target.file)
    try:
        file = path.read_bytes()
        document = contract.parse(file)
        found = opened(file)(golden(target)[0])[0]
    except (OSError, ContractError) as error:
        raise UserError(f"{path}: {error}") from error
    if [one.seed for one in document.golden] != list(GOLDEN) or not np.allclose(
        found, [one.z for one in document.golden], TOLERANCE, TOLERANCE
    ):
        raise UserError(f"{path}: it is of a generator that draws other pictures; train it anew")
    return with_document(file, generator=target.version)


def install(file: bytes, target: Target, dataset: Dataset) -> None:
    """Beside the generator, with a picture; and its section in the card, where there is one. Raises UserError."""
    write_atomically(encoder_of(target.file), file)
    images, _ = held_out(dataset, COLUMNS)
    both = [images, again(opened(file), target, images)]
    picture = target.file.with_suffix(".encoder.png")
    write_atomically(picture, shown(np.concatenate(both), len(images)))
    card = card_of(target.file)
    if card.is_file():
        content = section(contract.parse(file), picture.name)
        text = with_section(card.read_text("utf-8"), "Encoder", content)
        write_atomically(card, text.encode())


def section(document: EncoderDocument, picture: str) -> str:
    """Of the card, in Markdown. picture: a file's name."""
    quality = document.quality
    figures = f"{words(quality)}\n\n{table(HEAD, rows(quality))}" if quality else "Not measured."
    return (
        f"`generator.encoder` finds the z of a picture{', and its class' if document.classes else ''}. It was trained by\n\n"
        f"```sh\n{document.training['command']}\n```\n\n![Pictures and reconstructions]({picture})\n\n"
        f"Above held-out pictures, and below what it finds in them, drawn again.\n\n{figures}"
    )
