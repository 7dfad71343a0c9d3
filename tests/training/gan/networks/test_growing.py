"""Progressive growing: what it is made of, how it fades, and that it goes on, exports and serves at every size."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from service.generator import loading
from service.generator.contract import write
from service.settings import Settings as ServiceSettings
from tests.training.pictures import squares
from training.data.dataset import Dataset, real_batches
from training.device import choose_precision
from training.errors import UserError
from training.evaluation.generated import open_model
from training.export.export import build
from training.gan.networks.growing import (
    Discriminator,
    Generator,
    doublings,
    equalised,
    grow,
    grown_by,
    pixel_norm,
    with_deviation,
)
from training.gan.state import State, new_state
from training.gan.step import Trainer, train_step
from training.presets import settings_of
from training.run.checkpoint import Header, load_generator, read, restore, save_state
from training.settings import ImageSpec, Settings

CPU = torch.device("cpu")
SPEC = ImageSpec("any", 3, 64, 64, ("a", "b"))


def small(**changes) -> Settings:
    return settings_of("growing", **{"width": 4, "z_dim": 8, "label_dim": 4, "batch": 4} | changes)


def start(settings: Settings, dataset: Dataset) -> tuple[Trainer, State]:
    batches = real_batches(dataset, settings.seed, settings.batch, CPU)
    trainer = Trainer(settings, dataset.spec.classes, CPU, batches, choose_precision("fp32", CPU)[0])
    return trainer, new_state(settings, dataset.spec, CPU)


def noise(side: int) -> Dataset:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 3, side, side), dtype=np.uint8)
    labels = np.arange(8) % 2
    return Dataset("noise", ("a", "b"), images, labels, images, labels)


def test_equalised_weights_are_normal_where_they_learn_and_he_et_al_s_where_they_are_used() -> None:
    torch.manual_seed(0)
    layer = equalised(torch.nn.Conv2d(64, 64, 3))
    (learnt,) = [weight for name, weight in layer.named_parameters() if name.endswith("original")]
    assert float(learnt.detach().std()) == pytest.approx(1, abs=0.02)
    assert float(layer.weight.detach().std()) == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.02)


def test_pixel_norm_makes_the_mean_square_over_channels_one() -> None:
    x = pixel_norm(torch.randn(2, 5, 3, 3) * 7)
    assert torch.allclose(x.square().mean(dim=1), torch.ones(2, 3, 3), atol=1e-5)


def test_the_minibatch_s_deviation_is_one_number_for_all() -> None:
    # 0 and 2 deviate by 1 in one of two features; 5 and 5 by nothing in the other: a half on average.
    x = torch.tensor([[0.0, 5.0], [2.0, 5.0]])[:, :, None, None].expand(2, 2, 3, 3)
    more = with_deviation(x)
    assert torch.equal(more[:, :2], x)
    assert torch.allclose(more[:, 2], torch.full((2, 3, 3), 0.5), atol=1e-4)


def test_each_doubling_rests_and_then_fades_in() -> None:
    settings = small(images=1600, grow=0.5)
    grown = [grown_by(settings, 4, seen) for seen in (0, 100, 150, 175, 200, 300, 350, 800, 1600, 10_000)]
    assert grown == [0, 0, 0.5, 0.75, 1, 1, 1.5, 4, 4, 4]
    assert grown_by(small(grow=0.0), 4, 0) == 4
    assert [doublings(ImageSpec("", 1, side, side, ())) for side in (28, 32, 64, 128, 256)] == [2, 3, 4, 5, 6]


def test_a_run_made_longer_does_not_shrink_what_has_grown() -> None:
    network = Generator(small(), SPEC)
    grow((network,), small(images=100), 50)
    grow((network,), small(images=10_000), 60)
    assert network.grown == 4


@torch.no_grad()
def test_a_layer_that_begins_to_fade_in_changes_nothing_and_then_all() -> None:
    torch.manual_seed(0)
    G, D = Generator(small(), SPEC), Discriminator(small(), SPEC)
    z, label = torch.randn(4, 8), torch.tensor([0, 1, 0, 1])
    images = torch.rand(4, 3, 64, 64) * 2 - 1

    def drawn(grown: float) -> tuple[torch.Tensor, ...]:
        G.grown = D.grown = grown
        return G(z, label), D(images, label), D.faded(images)

    for before, after in zip(drawn(2.0), drawn(2 + 1e-6), strict=True):
        assert torch.allclose(before, after, atol=1e-4)
    for before, half, after in zip(drawn(2.0), drawn(2.5), drawn(3.0), strict=True):
        assert not torch.allclose(before, half, atol=1e-3)
        assert not torch.allclose(half, after, atol=1e-3)
    for before, after in zip(drawn(3 - 1e-6), drawn(3.0), strict=True):
        assert torch.allclose(before, after, atol=1e-4)


@torch.no_grad()
def test_the_first_stage_draws_sixteen_blocks_and_sees_real_images_so() -> None:
    G, D = Generator(small(), SPEC), Discriminator(small(), SPEC)
    for image in (G(torch.randn(2, 8), torch.tensor([0, 1])), D.faded(torch.randn(2, 3, 64, 64))):
        assert image.shape == (2, 3, 64, 64)
        blocks = image.unflatten(3, (4, 16)).unflatten(2, (4, 16))
        assert torch.equal(blocks, blocks[:, :, :, :1, :, :1].expand_as(blocks))


def test_a_run_stopped_in_a_fade_goes_on_in_the_same_bits(tmp_path: Path) -> None:
    settings, dataset = small(images=48, grow=1.0), squares(60, 30)
    trainer, state = start(settings, dataset)
    for _ in range(5):
        train_step(trainer, state)
    assert isinstance(state.average, Generator)
    assert 0 < state.average.grown % 1 < 1
    save_state(tmp_path, Header(settings, dataset.spec, state.images_seen), state)
    header, tensors = read(tmp_path / "checkpoint.safetensors")
    restored = new_state(settings, dataset.spec, CPU)
    restore(tensors, restored)
    restored.images_seen = header.images_seen
    assert restored.average.grown == state.average.grown
    torch.manual_seed(4711)
    while state.images_seen < settings.images:  # past the beginning of the next layer
        train_step(trainer, restored)
        train_step(trainer, state)
    for was, now in ((state.G, restored.G), (state.D, restored.D), (state.average, restored.average)):
        for key, value in was.state_dict().items():
            assert torch.equal(value, now.state_dict()[key]), key


@pytest.mark.parametrize("side", [128, 256])
def test_every_size_takes_an_update_exports_what_has_grown_and_is_served(tmp_path: Path, side: int) -> None:
    # Of two channels, as width 4 has at full size, some place is so near 0 that pixel norm makes rounding visible.
    settings, dataset = small(images=8, grow=0.5, width=8), noise(side)
    trainer, state = start(settings, dataset)
    while state.images_seen < settings.images:  # one at the first size, one at the last
        train_step(trainer, state)
    save_state(tmp_path, Header(settings, dataset.spec, state.images_seen), state)
    trained = load_generator(tmp_path)
    graph, contract = build(trained, "grown")
    convolutions = [node for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    # Two at each size but one at the first, and the one layer to pixels: those of smaller pictures are gone.
    assert len(convolutions) == 2 * doublings(dataset.spec) + 2
    assert "Resize" not in {node.op_type for node in graph.graph.node}
    (tmp_path / loading.FILE).write_bytes(write(graph, contract))
    loading.load(loading.read(tmp_path / loading.FILE), ServiceSettings(engine="onnxruntime", threads=1))
    source = open_model(tmp_path / loading.FILE, "onnxruntime", "fp32", threads=1)
    drawn = source.forward(source.drawn(range(3)), np.array([0, 1, 0]))
    assert (drawn.shape, drawn.dtype) == ((3, 3, side, side), np.uint8)


def test_the_paper_s_own_loss_trains_them_too() -> None:
    settings = small(loss="wasserstein", gp_weight=10.0, r1_gamma=0.0)
    trainer, state = start(settings, squares(60, 30))
    figures = train_step(trainer, state)
    assert "penalty/GP" in figures
    assert all(value.isfinite() for value in figures.values())


def test_real_and_generated_images_are_seen_apart() -> None:
    trainer, state = start(small(), squares(60, 30))
    counts: list[int] = []
    state.D.register_forward_hook(lambda D, given, _: counts.append(len(given[0])))
    train_step(trainer, state)
    # Real, generated, R1, and G's update.
    assert counts == [4, 4, 4, 4]


def test_only_growing_networks_grow() -> None:
    with pytest.raises(UserError, match="grow needs network=growing"):
        settings_of("ns-r1", grow=0.5)
