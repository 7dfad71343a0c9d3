"""Published one-step text-to-image models: text encoder, U-Net, decoder in one file, weights beside it, a tokenizer of byte pairs."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from ganserve.importing.torch_module import exported
from service.errors import ContractError, InvalidField
from service.generator import golden, loading
from service.generator.text import reading as texts
from service.settings import Settings
from tests.generators.texts import byte_pairs
from tests.importing.test_pictures import run

LENGTH, SIDE = 16, 32
TEXTS = [
    "a dark bag",
    "",
    "The quick brown fox; 3 émigrés, 狐 and a very long text that goes on and on and on beyond all that is read",
]


class Block(nn.Module):
    """A convolution that looks at the text by cross-attention, as in a latent diffusion U-Net."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(4, channels)
        self.query, self.key_value = nn.Linear(channels, channels), nn.Linear(width, 2 * channels)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        x = x + self.conv(nn.functional.silu(self.norm(x)))
        flat = x.flatten(2).transpose(1, 2)
        key, value = self.key_value(text).chunk(2, dim=-1)
        flat = flat + (self.query(flat) @ key.transpose(1, 2) / key.shape[-1] ** 0.5).softmax(-1) @ value
        return flat.transpose(1, 2).unflatten(2, x.shape[2:])


class OneStep(nn.Module):
    """As sd-turbo is made: a causal text transformer, a U-Net over latents with one step's prediction, a decoder to twice the side."""

    def __init__(self, tokens: int, width: int = 32, channels: int = 16) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(tokens, width), nn.Parameter(0.1 * torch.randn(LENGTH, width))
        self.query_key_value, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("mask", torch.full((LENGTH, LENGTH), -1e4).triu(1))
        self.into, self.down = (
            nn.Conv2d(4, channels, 3, padding=1),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1),
        )
        self.blocks = nn.ModuleList([Block(channels, width) for _ in range(3)])
        self.out, self.decode = nn.Conv2d(2 * channels, 4, 3, padding=1), nn.Conv2d(4, 12, 3, padding=1)

    def forward(self, input_ids: Tensor, latents: Tensor) -> Tensor:
        text = self.embed(input_ids) + self.places
        query, key, value = self.query_key_value(text).chunk(3, dim=-1)
        seen = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5 + self.mask).softmax(-1)
        text = text + self.mix(seen @ value)
        x = self.blocks[0](self.into(latents), text)
        low = self.blocks[2](self.blocks[1](self.down(x), text), text)
        up = nn.functional.interpolate(low, scale_factor=2.0, mode="nearest")
        noise = self.out(torch.cat([x, up], dim=1))
        # One step from pure noise: x0 = (latents - sigma noise) / alpha.
        return torch.tanh(nn.functional.pixel_shuffle(self.decode((latents - 0.9 * noise) / 0.5), 2))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder as it is published, and the module in it."""
    folder = tmp_path_factory.mktemp("published")
    tokens = texts.tokens_in(byte_pairs(folder).read_text())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = OneStep(tokens).eval()
    given = torch.zeros(2, LENGTH, dtype=torch.int64), torch.zeros(2, 4, SIDE // 2, SIDE // 2)
    free = {0: torch.export.Dim("N")}
    program = exported(module, given, ["input_ids", "latents"], (free, free), ["image"])
    model = onnx.ModelProto()
    model.CopyFrom(program.model_proto)
    onnx.save(
        model,
        folder / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=1024,
    )
    assert (folder / "model.onnx.data").stat().st_size > 30_000
    return folder, module


@pytest.fixture(scope="module")
def imported(published, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "one-step"
    result = run(published[0], "--text", "input_ids", "--z", "latents", "--out", out)
    assert result.exit_code == 0, result.output
    assert f"takes a text's tokens: {LENGTH} of 286 ids, cut there, filled up with 1" in " ".join(
        result.output.split()
    )
    return out


def test_the_service_draws_what_the_original_does(published, imported):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(published[0] / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=1, pad_token="<|endoftext|>")
    ids = torch.tensor([one.ids for one in tokenizer.encode_batch(TEXTS)])
    for engine in ("onnxruntime", "openvino"):
        loaded = loading.load(loading.read(imported / "generator.onnx"), Settings(engine=engine, threads=1))
        assert loaded.golden is not None
        said = loaded.contract
        z = said.drawn(range(3))
        with torch.inference_mode():
            image = published[1](ids, torch.from_numpy(z).reshape(3, 4, SIDE // 2, SIDE // 2))
        want = (image + 1).mul(127.5).round().clamp(0, 255).to(torch.uint8).numpy()
        found = golden.difference(loaded.engine.wide(said.rows(range(3), TEXTS), None), want)
        assert found.excess("fp32") is None
        assert len(np.unique(want)) > 50


def test_golden_samples_are_of_texts_out_of_the_vocabulary(imported):
    said = loading.parse((imported / "generator.onnx").read_bytes())
    assert len({sample.text for sample in said.golden}) > 5
    assert said.told[1].tokenizer == ""
    assert "tokens of a text, by the tokenizer in the file" in (imported / "README.md").read_text()


def test_what_is_open_is_asked_for(published):
    folder, _ = published
    result = run("--check", folder / "model.onnx", "--text", "input_ids", "--z", "latents")
    assert result.exit_code == 1
    assert "--tokenizer tokenizer.json" in result.output
    result = run("--check", folder, "--text", "latents")
    assert "takes no token ids" in " ".join(result.output.split())
    result = run("--check", folder, "--text", "input_ids=8", "--z", "latents")
    assert f"--text input_ids={LENGTH}" in result.output


@pytest.mark.parametrize("document", ["", "[]", '{"model": {"vocab": 3}}', '{"model": {"vocab": {"a": 0}}}'])
def test_a_tokenizer_that_is_none_is_refused(document, tmp_path, published):
    (tmp_path / "tokenizer.json").write_text(document)
    result = run(
        "--check",
        published[0] / "model.onnx",
        "--text",
        "input_ids",
        "--z",
        "latents",
        "--tokenizer",
        tmp_path / "tokenizer.json",
    )
    assert result.exit_code == 1, result.output


def test_without_the_package_the_file_says_what_is_missing(imported, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    texts.tokenizer_of.cache_clear()
    with pytest.raises(ContractError, match="pip install 'ganserve\\[text\\]'"):
        loading.load(loading.read(imported / "generator.onnx"), Settings(engine="onnxruntime", threads=1))


def test_a_text_of_many_characters_is_refused_before_it_is_read(imported):
    said = loading.parse((imported / "generator.onnx").read_bytes())
    with pytest.raises(InvalidField, match="4,001 characters"):
        said.rows([1], ["a" * 4001])


def test_padding_is_what_the_tokenizer_says_or_what_is_usually_so_called(tmp_path):
    document = json.loads(byte_pairs(tmp_path).read_text())
    assert texts.pad_of(json.dumps(document)) == 1
    assert texts.pad_of(json.dumps(document | {"padding": {"pad_id": 7}})) == 7
    assert texts.pad_of("{") == 0
