import itertools
import json

import numpy as np
import pytest

from benchmarks.gpu import golden, networks, pytorch, sessions, speed, there, ways
from benchmarks.gpu.part import Part
from service.generator import contract
from service.generator.engines import cuda
from service.generator.engines.cuda import SIZES, buckets
from tests.benchmarks.gpu.pretended import FakeCard, FallsBack, Refuses, SaysCuda, pretend
from tests.generators import Tiny, with_other_golden


@pytest.fixture
def tiny(monkeypatch):
    """One tiny model in place of those of the repository."""
    files = {sessions.SHIPPED: Tiny().file()}
    monkeypatch.setattr(sessions, "shipped", lambda: dict(files))
    return files


@pytest.fixture
def part(tmp_path):
    return Part("some", tmp_path, seconds=60)


@pytest.fixture
def on_gpu(tmp_path):
    return Part("some", tmp_path, seconds=60, card=FakeCard())  # pyright: ignore[reportArgumentType]


def on_disk(part):
    return json.loads(part.path.read_text())


def rows(part, beginning):
    return [row for row in part.rows if row["what"].startswith(beginning)]


@pytest.mark.usefixtures("tiny")
def test_there_names_the_versions_and_counts_the_nodes_of_each_provider(part):
    there.run(part)
    assert part.failed == []
    (nodes,) = rows(part, f"nodes of {sessions.SHIPPED} in fp32")
    assert nodes["CPUExecutionProvider"] == sum(nodes["by_provider"]["CPUExecutionProvider"].values()) > 5
    assert nodes["memcpy"] == 0
    assert on_disk(part)["rows"] == json.loads(json.dumps(part.rows))


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("session", "says"),
    [(Refuses, "CUDA failure 35"), (FallsBack, "CPUExecutionProvider instead of CUDAExecutionProvider")],
)
@pytest.mark.parametrize("measure", [there, golden, speed])
def test_a_gpu_that_no_session_gets_fails_every_part_in_plain_words(
    on_gpu, monkeypatch, session, says, measure
):
    pretend(monkeypatch, session)
    monkeypatch.setattr(networks, "SIZES", ())
    measure.run(on_gpu, *[()] * (measure is speed))
    assert len(on_gpu.failed) == 3, "each precision"
    assert all(says in check["text"] for check in on_disk(on_gpu)["checks"])


@pytest.mark.usefixtures("tiny")
def test_a_session_that_says_cuda_and_computes_on_the_cpu_is_found_out_by_its_nodes(on_gpu, monkeypatch):
    pretend(monkeypatch, SaysCuda)
    there.run(on_gpu)
    assert len(on_gpu.failed) == 3
    assert "Conv" in on_gpu.checks[0]["text"]


def test_golden_holds_on_the_engine_that_cuda_has(on_gpu, tiny, monkeypatch):
    pretend(monkeypatch, SaysCuda)
    golden.run(on_gpu)
    assert on_gpu.failed == []
    assert {check["name"].rpartition(" ")[2] for check in on_gpu.checks} == {"fp32", "tf32", "fp16"}
    (fp16,) = rows(on_gpu, f"golden samples of {sessions.SHIPPED} in fp16")
    assert 0 <= fp16["mean"] < 0.25
    (by_bucket,) = rows(on_gpu, f"by bucket of {sessions.SHIPPED} in fp32")
    assert by_bucket["max"] == dict.fromkeys(buckets(SIZES[-1]), 0)


def test_pictures_of_another_network_fail(part, tiny):
    tiny["other"] = with_other_golden()
    golden.run(part)
    assert part.failed == ["other in fp32", "other in fp16"]


def test_what_a_batch_does_to_an_image_is_seen_by_place_mates_and_bucket():
    generator = Tiny()
    draw = generator.forward

    def shifted(z, label, add):
        return (draw(z, label).astype(int) + add).clip(0, 255).astype(np.uint8)

    def by_place(z, label):
        return shifted(z, label, np.arange(len(z))[:, None, None, None])

    def by_mates(z, label):
        return shifted(z, label, 3 * (len(z) > 1) * (abs(int(z.sum() * 1000)) % 7))

    def by_bucket(z, label):
        return shifted(z, label, 5 * (len(z) == 4))

    levels = {
        name: golden.invariance(forward, generator.contract(), 4)
        for name, forward in {"none": draw, "place": by_place, "mates": by_mates, "bucket": by_bucket}.items()
    }
    assert levels["none"]["by bucket"]["max"] == {1: 0, 2: 0, 4: 0}
    assert levels["none"]["by place"]["max"] == levels["none"]["by batch-mates"]["max"] == 0
    assert levels["place"]["by place"]["max"] == 15
    assert levels["place"]["by batch-mates"]["max"] == 0
    assert levels["mates"]["by batch-mates"]["max"] > 0
    assert levels["bucket"]["by bucket"]["max"] == {1: 0, 2: 0, 4: 5}


def test_speed_has_a_row_per_batch_and_what_a_joule_gives(on_gpu, tiny, monkeypatch):
    pretend(monkeypatch, SaysCuda)
    monkeypatch.setattr(speed, "_SECONDS", 0.01)
    monkeypatch.setattr(speed, "_ENERGY_SECONDS", 0.01)
    tiny["again"] = Tiny(weights_seed=1).file()
    speed.run(on_gpu, ())
    assert on_gpu.left_out == [f"again: the same operations as {sessions.SHIPPED}"]
    fp16 = rows(on_gpu, f"{sessions.SHIPPED} in fp16")
    *by_batch, longer = fp16
    assert [row["batch"] for row in by_batch] == [2**power for power in range(11)]
    for row in by_batch:
        assert row["images_per_second"] == pytest.approx(row["batch"] * row["passes_per_second"])
        assert row["memory_used_mib"] == 1000
    best = max(by_batch, key=lambda row: row["images_per_second"])
    assert longer["batch"] == best["batch"]
    passes = longer["images_per_joule"] * 100 / longer["batch"]
    assert passes == pytest.approx(round(passes))
    assert passes >= 1


def test_what_there_is_no_time_for_is_said_and_not_measured(tmp_path, tiny):
    part = Part("speed", tmp_path, seconds=0)
    speed.run(part, ((0.01, 64),))
    assert part.rows == []
    assert on_disk(part)["left_out"] == [f"{sessions.SHIPPED}: no time left", "0.01M-64px: no time left"]


def test_a_sweep_ends_where_memory_does(part):
    def make(batch):
        if batch > 2:
            raise MemoryError("out of memory")
        return lambda: None

    assert list(sessions.sweep(part, "it", make, (1, 2, 4, 8), 0.01)) == [1, 2]
    assert part.left_out == ["it of 4 images and more: out of memory"]
    assert part.failed == []


def test_a_rate_is_of_the_time_that_passed(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(sessions.time, "perf_counter", lambda: float(next(clock)))
    figures = sessions.rate(lambda: None, 10, 10.0)
    assert figures["p50_ms"] == 1000
    assert figures["images_per_second"] == pytest.approx(10 * figures["passes_per_second"])
    assert figures["passes_per_second"] == pytest.approx(1 / 3, rel=0.2), (
        "the clock is read three times a pass"
    )


@pytest.mark.usefixtures("tiny")
def test_the_other_ways_are_measured_one_by_one(part, monkeypatch):
    monkeypatch.setattr(ways, "_SECONDS", 0.01)
    monkeypatch.setattr(ways, "_BATCHES", (1, 4))
    monkeypatch.setattr(cuda, "_MEASURED_SECONDS", 0.01)
    ways.run(part, (0.01, 64))
    lanes = [f"{count} {name} at once" for count in (1, 4) for name in ("lanes", "sessions")]
    for way in ("plain run", "IO binding", "copies apart", *lanes, "lanes that the engine takes"):
        assert rows(part, f"{sessions.SHIPPED} in fp32, {way}"), way
    assert any("NHWC" in text for text in part.left_out)
    assert [check["text"] for check in part.checks] == ["at once they draw the pictures of one alone"] * 2
    assert part.failed == []


@pytest.mark.usefixtures("tiny")
def test_lanes_that_draw_other_pictures_at_once_fail_the_check(part, monkeypatch):
    def others(*_):
        raise cuda.OtherPictures

    monkeypatch.setattr(ways, "_SECONDS", 0.01)
    monkeypatch.setattr(ways, "_BATCHES", (1,))
    monkeypatch.setattr(cuda, "images_at_once", others)
    ways.run(part, (0.01, 64))
    assert part.failed == [f"{sessions.SHIPPED} in fp32, 2 lanes", "0.01M-64px in fp32, 2 lanes"]


def test_pytorch_draws_what_onnx_runtime_draws_from_the_same_weights(part, monkeypatch):
    monkeypatch.setattr(pytorch, "_SECONDS", 0.01)
    monkeypatch.setattr(pytorch, "_BATCHES", (1, 2))
    pytorch.run(part, ((0.05, 64),))
    assert len(part.checks) == 2
    assert part.failed == []


def test_pytorch_with_other_weights_is_found_out(part, monkeypatch):
    monkeypatch.setattr(pytorch, "_SECONDS", 0.01)
    monkeypatch.setattr(pytorch, "_BATCHES", (1, 2))
    real = pytorch._network

    def another(file, channels):
        network = real(file, channels)
        network.offset.mul_(-1)
        return network

    monkeypatch.setattr(pytorch, "_network", another)
    pytorch.run(part, ((0.05, 64),))
    assert len(part.failed) == 2


@pytest.mark.parametrize(("millions", "pixels"), networks.SIZES)
def test_networks_have_about_the_parameters_that_they_are_called_by(millions, pixels):
    channels = networks.widths(millions, pixels)
    assert networks.parameters(channels) == pytest.approx(millions * 1e6, rel=0.1)
    assert 4 << (len(channels) - 1) == pixels


def test_parameters_are_counted_as_they_are_made():
    file = networks.make(0.3, 64)
    channels = networks.widths(0.3, 64)
    assert len(file) == pytest.approx(4 * networks.parameters(channels), rel=0.02)
    assert contract.parse(file).image.height == 64
