import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

import training.export.export
from service.errors import EngineUnavailable
from service.generator import encoder, loading
from service.generator.contract import parse, version
from service.generator.engines import cuda, ov, race
from service.generator.engines.race import Figure, Result
from service.settings import Settings
from tests.generators.encoders import TinyEncoder
from tests.service.generator.engines.bound import pretend_gpus
from tests.training.tiny import command, write_run

REAL = ov.OpenVinoEngine
BY_HAND = "The first 8 images ran by night.\n"


def openvino(monkeypatch, noise: float | None) -> None:
    """From now on OpenVINO has bf16, which is fp32 and so much noise in grey levels, and is fast; or no bf16."""
    rng = np.random.default_rng(0)

    class Engine(REAL):
        def __init__(self, file, contract, *, precision, threads):
            if precision == "bf16" and noise is None:
                raise EngineUnavailable("OpenVINO has no bf16 on this CPU")
            super().__init__(file, contract, precision="fp32", threads=threads)
            self.precision = precision
            if precision == "bf16" and noise:
                self.wide, self.lanes = noisy(self.wide), [noisy(lane) for lane in self.lanes]

    def noisy(forward):
        def drawn(z, label):
            image = forward(z, label).astype(np.float64)
            return (image + rng.normal(0, noise or 0, image.shape)).clip(0, 255).astype(np.uint8)

        return drawn

    figures = [Figure("openvino", "bf16", 300)] * (noise is not None)
    figures += [Figure("onnxruntime", "fp32", 100), Figure("openvino", "fp32", 90)]
    monkeypatch.setattr(ov, "OpenVinoEngine", Engine)
    monkeypatch.setattr(race, "result", lambda path, version: Result("Some CPU", figures))
    monkeypatch.setattr(cuda, "device_count", lambda: 0)


def export(folder: Path, *options: object):
    data = ("--data", folder / "stripes.npz", "--judge", "plain", "--judge-images", 1280)
    common = ("--model", folder / "stripes", "--cache", folder / "judges", "--threads", 1)
    return command("export", *data, *common, *options)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a data set, a short run, and the model exported from it where OpenVINO has no bf16."""
    folder = tmp_path_factory.mktemp("precisions")
    write_run(folder, 900)
    with pytest.MonkeyPatch.context() as monkeypatch:
        openvino(monkeypatch, noise=None)
        result = export(folder, "--run", folder / "run")
    assert result.exit_code == 0, result.output
    (folder / "said.txt").write_text(result.output)
    return folder


@pytest.fixture
def folder(place, tmp_path) -> Path:
    """A copy of it, with a line in the card that somebody wrote by hand."""
    copy = shutil.copytree(place, tmp_path / "copy")
    card = copy / "stripes" / "README.md"
    card.write_text(card.read_text("utf-8").replace("## Limits\n", f"{BY_HAND}\n## Limits\n"), "utf-8")
    return copy


def quality(folder: Path) -> dict:
    return parse((folder / "stripes" / "generator.onnx").read_bytes()).quality


def text(folder: Path) -> str:
    return (folder / "stripes" / "README.md").read_text("utf-8")


def taken(folder: Path) -> tuple[str, bool]:
    """The precision that the service takes, and whether the card names the file."""
    file = loading.read(folder / "stripes" / loading.FILE)
    return loading.load(file, Settings(threads=1)).engine.precision, file.verified


def test_an_export_where_openvino_has_no_bf16_says_so_in_a_line_and_leaves_the_figures_out(place):
    (line,) = [line for line in (place / "said.txt").read_text().splitlines() if "Precisions" in line]
    assert "OpenVINO has no bf16" in line
    assert "verdicts" in quality(place)
    assert "precisions" not in quality(place)
    assert "## Precisions" not in text(place)


def test_bf16_as_good_as_fp32_is_written_into_file_and_card_and_then_served(folder, monkeypatch):
    before, card = quality(folder), text(folder)
    picture = (folder / "stripes" / "samples.png").read_bytes()
    openvino(monkeypatch, noise=0)
    assert taken(folder) == ("fp32", True)
    result = export(folder, "--precisions")
    assert result.exit_code == 0, result.output
    fp32, bf16 = quality(folder)["precisions"]
    assert (fp32["engine"], fp32["precision"], bf16["precision"]) == ("openvino", "fp32", "bf16")
    assert fp32["figures"] == bf16["figures"], "from equal z"
    assert fp32["images"] == before["images"]
    known = before["verdicts"][0]["figures"]
    for name in ("frechet_distance", "class_accuracy"):
        # The card's figure is a mean over draws of seeds, this one is of the first.
        far = 4 * known[name]["spread"] + 1e-6
        assert fp32["figures"][f"plain.{name}"]["value"] == pytest.approx(known[name]["value"], abs=far)
    share, error = fp32["figures"]["plain.class_accuracy"].values()
    assert error == pytest.approx((share * (1 - share) / fp32["images"]) ** 0.5)
    assert {name: value for name, value in quality(folder).items() if name != "precisions"} == before
    assert taken(folder) == ("bf16", True)
    assert "`auto` may take bf16" in text(folder)
    rest = re.sub(r"## Precisions\n.*?(?=## Limits)", "", text(folder), flags=re.DOTALL)
    assert [line for line in rest.splitlines() if "SHA-256" not in line] == [
        line for line in card.splitlines() if "SHA-256" not in line
    ]
    assert (folder / "stripes" / "samples.png").read_bytes() == picture


def test_the_model_s_own_encoder_stays_its_own_and_a_stranger_s_stays_as_it_was(folder, monkeypatch):
    openvino(monkeypatch, noise=0)
    model = folder / "stripes" / "generator.onnx"
    file = model.read_bytes()
    for version_, bound in ((version(file), True), ("0123456789ab", False)):
        model.write_bytes(file)
        beside = encoder.encoder_of(model)
        beside.write_bytes(TinyEncoder(parse(file), version_).file())
        assert export(folder, "--precisions").exit_code == 0
        now = version(model.read_bytes())
        assert now != version(file)
        assert encoder.parse(beside.read_bytes()).generator == (now if bound else version_)


def test_worse_bf16_is_written_too_in_place_of_older_figures_and_never_served(folder, monkeypatch):
    with monkeypatch.context() as other_machine:
        openvino(other_machine, noise=0)
        assert export(folder, "--precisions").exit_code == 0
    openvino(monkeypatch, noise=400)
    result = export(folder, "--precisions")
    assert result.exit_code == 0, result.output
    fp32, bf16 = (run["figures"]["plain.frechet_distance"] for run in quality(folder)["precisions"])
    assert abs(fp32["value"] - bf16["value"]) > fp32["error"] + bf16["error"]
    assert taken(folder) == ("fp32", True)
    assert text(folder).count("## Precisions") == 1
    assert "`auto` does not take bf16" in text(folder)
    assert f"| {bf16['value']:.4f} ± {bf16['error']:.4f} |" in text(folder)
    assert text(folder).count(BY_HAND) == 1


def test_an_export_where_openvino_has_bf16_writes_the_figures_by_itself(folder, monkeypatch):
    graph = onnx.load(folder / "stripes" / "generator.onnx")
    monkeypatch.setattr(training.export.export, "to_graph", lambda trained: graph)
    openvino(monkeypatch, noise=0)
    result = export(folder, "--run", folder / "run")
    assert result.exit_code == 0, result.output
    assert "Precisions" not in result.output
    assert [run["precision"] for run in quality(folder)["precisions"]] == ["fp32", "bf16"]
    assert taken(folder) == ("bf16", True)
    assert BY_HAND not in text(folder), "a new export writes a new card"


def test_without_bf16_the_figures_that_a_file_has_stay(folder, monkeypatch):
    openvino(monkeypatch, noise=0)
    assert export(folder, "--precisions").exit_code == 0
    before = {file.name: file.read_bytes() for file in (folder / "stripes").iterdir()}
    openvino(monkeypatch, noise=None)
    result = export(folder, "--precisions")
    assert result.exit_code == 1
    assert "OpenVINO has no bf16" in result.output
    assert "Traceback" not in result.output
    assert before == {file.name: file.read_bytes() for file in (folder / "stripes").iterdir()}


def test_a_card_of_another_file_is_left_alone(folder, monkeypatch):
    openvino(monkeypatch, noise=0)
    card = folder / "stripes" / "README.md"
    card.write_text(re.sub("`[0-9a-f]{64}`", f"`{'0' * 64}`", text(folder)), "utf-8")
    before = {file.name: file.read_bytes() for file in (folder / "stripes").iterdir()}
    result = export(folder, "--precisions")
    assert result.exit_code == 1
    assert "not that of its card" in result.output
    assert before == {file.name: file.read_bytes() for file in (folder / "stripes").iterdir()}


@pytest.mark.parametrize(
    "options", [[], ["--run", "run", "--precisions"], ["--precisions", "--model", "run"], ["--precisions"]]
)
def test_a_run_or_a_model_with_its_data_is_asked_for(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    result = command("export", *options)
    assert result.exit_code == 1
    assert "either --run, or one of --precisions" in result.output


def test_where_there_is_a_gpu_its_precisions_are_compared_beside_those_of_a_cpu(folder, monkeypatch):
    with monkeypatch.context() as other_machine:
        openvino(other_machine, noise=0)
        assert export(folder, "--precisions").exit_code == 0
    pretend_gpus(monkeypatch)
    result = export(folder, "--precisions")
    assert result.exit_code == 0, result.output
    measured = [(run["engine"], run["precision"]) for run in quality(folder)["precisions"]]
    of_a_gpu = [("onnxruntime", precision) for precision in ("fp32", "tf32", "fp16")]
    assert measured == [("openvino", "fp32"), ("openvino", "bf16"), *of_a_gpu]
    assert "`auto` may take tf32" in text(folder), "here it is fp32"
    for words in (
        "images of OpenVINO in each",
        "| figure | fp32 | bf16 |",
        "| figure | fp32 | tf32 |",
        "| figure | fp32 | fp16 |",
    ):
        assert text(folder).count(words) == 1
    assert text(folder).count("images of ONNX Runtime on CUDA in each") == 2
