"""Each preset trains, goes on in the same bits, and is in its exported graph the system that it is named after."""

from collections import Counter
from dataclasses import asdict, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import onnx
import pytest
import torch

from service.generator import loading
from service.generator.contract import parse, write
from service.settings import Settings as ServiceSettings
from tests.training.pictures import squares
from tests.training.tiny import command, write_npz
from training.data.dataset import Dataset, real_batches
from training.device import choose_precision
from training.errors import UserError
from training.export.export import build
from training.gan.losses import FLOW, LOSSES
from training.gan.networks import fitted
from training.gan.state import State, new_state
from training.gan.step import Trainer, train_step
from training.presets import PRESETS, settings_of
from training.run.checkpoint import Header, load_generator, read, restore, save_state
from training.settings import Settings

CPU = torch.device("cpu")
UNCONDITIONAL = {"gan-minimax", "gan", "infogan", "bigan"}


def start(settings: Settings) -> tuple[Trainer, State, Dataset]:
    dataset = squares(60, 30) if settings.conditional else squares(60, 30).as_one_class()
    settings = fitted(settings, dataset.spec)
    batches = real_batches(dataset, settings.seed, settings.batch, CPU)
    trainer = Trainer(settings, dataset.spec.classes, CPU, batches, choose_precision("fp32", CPU)[0])
    return trainer, new_state(settings, dataset.spec, CPU), dataset


def narrow(preset: str) -> Settings:
    return settings_of(preset, width=8, z_dim=0 if preset == "meanflow" else 8, label_dim=4, batch=4)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_trains_by_the_command_line_and_draws(tmp_path: Path, preset: str) -> None:
    data, run = write_npz(tmp_path / "stripes.npz"), tmp_path / "run"
    length = ["--images", 80, "--batch", 8, "--set", "width=8", "--threads", 1]
    trained = command("train", "--data", data, "--run", run, "--preset", preset, *length, "--no-tensorboard")
    assert trained.exit_code == 0, trained.output
    sampled = command("sample", "--run", run, "--out", tmp_path / "drawn.png", "--n", 3)
    assert sampled.exit_code == 0, sampled.output


@pytest.mark.parametrize("preset", PRESETS)
def test_a_stopped_preset_takes_the_steps_of_one_that_never_stopped(tmp_path: Path, preset: str) -> None:
    trainer, state, dataset = start(narrow(preset))
    settings = trainer.settings
    for _ in range(3):
        train_step(trainer, state)
    save_state(tmp_path, Header(settings, dataset.spec, state.images_seen), state)
    header, tensors = read(tmp_path / "checkpoint.safetensors")
    restored = new_state(settings, dataset.spec, CPU)
    restore(tensors, restored)
    restored.images_seen = header.images_seen
    # What a process that resumes has drawn before is not what the other one has.
    torch.manual_seed(4711)
    for _ in range(3):
        train_step(trainer, restored)
    torch.manual_seed(1174)
    for _ in range(3):
        train_step(trainer, state)

    assert torch.equal(state.balance, restored.balance)
    for was, now in ((state.G, restored.G), (state.D, restored.D), (state.average, restored.average)):
        for key, value in was.state_dict().items():
            assert torch.equal(value, now.state_dict()[key]), key


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    trainer, state, _ = start(narrow("gan"))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    train_step(trainer, state)
    assert torch.equal(torch.rand(3), expected)


def test_the_critic_of_wgan_stays_within_its_clip() -> None:
    settings = narrow("wgan")
    trainer, state, _ = start(settings)
    train_step(trainer, state)
    weights = {name: float(weight.detach().abs().max()) for name, weight in state.D.named_parameters()}
    assert weights.pop("embed.weight") > 1
    assert max(weights.values()) == pytest.approx(settings.weight_clip)


def test_five_critic_updates_come_before_one_of_the_generator() -> None:
    for preset in ("wgan", "wgan-gp"):
        trainer, state, _ = start(narrow(preset))
        train_step(trainer, state)
        assert state.images_seen == 5 * 4
        steps = {
            name: float(next(iter(optimiser.state.values()))["step"])
            for name, optimiser in (("G", state.optimiser_g), ("D", state.optimiser_d))
        }
        assert steps == {"G": 1, "D": 5}


def test_began_follows_its_balance_and_reports_its_convergence() -> None:
    trainer, state, _ = start(replace(narrow("began"), balance_rate=10.0))
    figures = [train_step(trainer, state) for _ in range(5)]
    assert 0 <= float(state.balance) <= 1
    for before, after in pairwise(figures):
        drift = 0.9 * float(after["D(x)"]) - float(after["loss/G"])
        want = min(max(float(before["balance/k"]) + 10.0 * drift, 0), 1)
        assert float(after["balance/k"]) == pytest.approx(want, abs=1e-5)
        assert float(after["balance/convergence"]) == pytest.approx(
            float(after["D(x)"]) + abs(drift), abs=1e-5
        )


def test_rpgan_penalises_real_and_generated_images() -> None:
    trainer, state, _ = start(narrow("rpgan"))
    figures = train_step(trainer, state)
    assert {"penalty/R1", "penalty/R2"} <= set(figures)


@cache
def exported(settings: Settings) -> tuple[onnx.ModelProto, bytes]:
    """After a few updates, through export with its parity gate."""
    import tempfile

    trainer, state, dataset = start(settings)
    for _ in range(2):
        train_step(trainer, state)
    with tempfile.TemporaryDirectory() as folder:
        save_state(Path(folder), Header(trainer.settings, dataset.spec, state.images_seen), state)
        graph, contract = build(load_generator(Path(folder)), "exported")
    return graph, write(graph, contract)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_in_its_graph_what_it_is_named_after(tmp_path: Path, preset: str) -> None:
    # Systems that share a generator's shape share the export, which takes seconds.
    shape = {"network", "conditional", "width", "z_dim", "label_dim", "attention", "codes"}
    settings, plain = settings_of(preset), asdict(settings_of(preset))
    same = next(
        name for name in PRESETS if all(getattr(settings_of(name), key) == plain[key] for key in shape)
    )
    graph, file = exported(settings_of(same, batch=8, grow=0.0))
    operators = Counter(node.op_type for node in graph.graph.node)
    # Colour takes a wider one.
    assert len(file) < (8e6 if preset == "projected" else 3e6)
    assert operators["BatchNormalization"] == 0
    assert (parse(file).classes is None) == (preset in UNCONDITIONAL)
    codes = ["c1", "c2", "category"] if preset == "infogan" else []
    assert [value.name for value in graph.graph.input] == (
        ["z", *codes] if preset in UNCONDITIONAL else ["z", "label"]
    )
    assert [one.name for one in parse(file).declared if one.role == "code"] == codes
    assert operators["Equal"] == (preset == "infogan"), "the category is one of ten"

    convolutions = operators["Conv"] + operators["ConvTranspose"]
    products = operators["Gemm"] + operators["MatMul"]
    match settings.network:
        case "mlp":
            assert (convolutions, products, operators["Relu"], operators["Sigmoid"]) == (0, 3, 2, 1)
            assert operators["Gather"] == (preset == "cgan")
        case "dcgan":
            # No hidden fully connected layer, no upsampling but by fractionally strided convolution.
            assert (operators["ConvTranspose"], operators["Conv"], products) == (3, 0, 0)
            assert (operators["Relu"], operators["Tanh"], operators["Resize"]) == (2, 1, 0)
        case "autoencoder":
            assert operators["Elu"] > 0
            assert (operators["Relu"], operators["Gather"], products) == (0, 1, 1)
        case "sagan":
            assert attended(graph) == 14 * 14
        case "growing":
            assert (convolutions, products, operators["Resize"]) == (2 * 2 + 2, 1, 0)
        case "flow":
            # A convolution at both ends, four blocks of two, four of attention; the halving, the doubling. Times are constants.
            assert (convolutions, operators["Softmax"]) == (2 + 8 + 4 + 2, 1)
            assert (operators["DepthToSpace"], operators["Cos"], operators["Tanh"]) == (2, 0, 0)
            assert parse(file).z_dim == 28 * 28
        case "residual" | "projected":
            assert operators["Add"] > 4
            assert operators["Gather"] == 1
            if settings.attention:
                assert attended(graph) == 7 * 7
            else:
                assert operators["Softmax"] == 0

    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / loading.FILE).write_bytes(file)
    file = loading.read(tmp_path / "exported" / loading.FILE)
    loading.load(file, ServiceSettings(engine="onnxruntime", threads=1))


def attended(graph: onnx.ModelProto) -> int:
    """Positions that the one softmax weighs."""
    inferred = onnx.shape_inference.infer_shapes(graph, data_prop=True)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred.graph.value_info}
    (softmax,) = [node for node in graph.graph.node if node.op_type == "Softmax"]
    return shapes[softmax.output[0]][-1].dim_value


def test_what_tells_presets_of_one_graph_apart_is_in_their_training() -> None:
    told_apart = {
        (
            row.network,
            row.conditional,
            row.loss,
            row.optimiser,
            row.weight_clip,
            row.gp_weight,
            row.r2,
            row.auxiliary,
        )
        for row in map(settings_of, PRESETS)
    }
    assert len(told_apart) == len(PRESETS) == 18
    assert {settings_of(preset).loss for preset in PRESETS} == {*LOSSES, FLOW}
    assert {name for name in PRESETS if not settings_of(name).conditional} == UNCONDITIONAL


@pytest.mark.parametrize(
    ("preset", "changes", "words"),
    [
        ("gan", {"loss": "began"}, "go together"),
        ("gan", {"relative_error": True}, "is of the network 'autoencoder'"),
        ("dcgan", {"r1_gamma": 0.2}, "need batch_norm_d=false"),
        ("ns-r1", {"optimiser": "lion"}, "unknown optimiser 'lion': choose from adam, rmsprop, sgd"),
        ("wgan", {"weight_clip": -1.0}, "weight_clip is -1.0; it must be at least 0"),
        ("acgan", {"network": "mlp"}, "needs network=dcgan"),
        ("acgan", {"conditional": False}, "need conditional=true"),
        ("bigan", {"conditional": True}, "codes and pairs conditional=false"),
        ("infogan", {"categories": 1}, "categories of 2 or more"),
        ("dcgan", {"codes": 2}, "of it alone"),
        ("infogan", {"z_dim": 3}, "a number more"),
        ("acgan", {"auxiliary": "class"}, "unknown auxiliary 'class'"),
        ("ns-r1", {"z_dim": 0}, "z_dim is 0: it holds codes and category, and a number more"),
        ("meanflow", {"loss": "hinge"}, "go together"),
        ("meanflow", {"augment": "flip"}, "a flow has no discriminator"),
        ("meanflow", {"d_steps": 5}, "a flow has no discriminator"),
        ("projected", {"freeze_d": 1, "source": "run"}, "those of network=projected never learn"),
    ],
)
def test_choices_that_do_not_fit_are_refused(preset: str, changes: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        settings_of(preset, **changes)
