"""Clients as they come, asking a model that is given a picture: ganserve's, openai, tritonclient."""

import base64
import io

import numpy as np
import openai
import pytest
import tritonclient.http as triton
from click.testing import CliRunner
from PIL import Image

import ganserve
from ganserve.__main__ import main
from ganserve.generating.command import generate
from service.generator import images
from service.generator.latents import latents
from tests.generators.translators import FULL, PLAIN, photos

PHOTO = photos(1, PLAIN.shape)
GREY = photos(2, FULL.shape)


def pixels(content: bytes) -> np.ndarray:
    """uint8 [C, H, W]."""
    return np.atleast_3d(np.asarray(Image.open(io.BytesIO(content)))).transpose(2, 0, 1)


def wanted(seeds: list[int], labels: list[int]) -> np.ndarray:
    return FULL.translated(GREY[: len(seeds)], latents(seeds, 16), np.array(labels)).astype(int)


def test_ganserves_client_sends_files_and_arrays(translators):
    with ganserve.Client(translators.url) as client:
        by_array = client.translate(PHOTO.transpose(0, 2, 3, 1), model="inverter")
        by_file = client.translate([images.png(PHOTO[0])], model="inverter")
        drawn = client.translate(GREY.transpose(0, 2, 3, 1), ["dusk", "day"], 5, model="full")
    np.testing.assert_array_equal(by_array.images.transpose(0, 3, 1, 2), 255 - PHOTO)
    np.testing.assert_array_equal(by_array.images, by_file.images)
    assert (by_file.seeds, by_file.labels, by_file.model) == (None, None, "inverter")
    assert drawn.seeds is not None
    assert drawn.labels is not None
    assert (drawn.seeds.tolist(), drawn.labels.tolist()) == ([5, 6], [1, 0])
    assert np.abs(drawn.images.transpose(0, 3, 1, 2) - wanted([5, 6], [1, 0])).max() <= 1


def test_the_command_line_writes_a_picture_of_each(translators, tmp_path):
    for i, one in enumerate(photos(2, PLAIN.shape)):
        (tmp_path / f"{i}.png").write_bytes(images.png(one))
    files = [f"{tmp_path / name}" for name in ("0.png", "1.png")]
    asked = [
        "translate",
        *files,
        "--model",
        "inverter",
        "-o",
        f"{tmp_path / 'out'}/",
        "--url",
        translators.url,
    ]
    ran = CliRunner().invoke(main, asked)
    assert ran.exit_code == 0, ran.output
    for i, one in enumerate(photos(2, PLAIN.shape)):
        np.testing.assert_array_equal(pixels((tmp_path / "out" / f"{i}.png").read_bytes()), 255 - one)


def test_generate_names_the_route_that_takes_pictures(translators, tmp_path):
    asked = ["--n", "1", "--out", f"{tmp_path / 'set'}", "--model", "inverter"]
    ran = CliRunner().invoke(generate, [*asked, "--url", translators.url])
    assert (ran.exit_code, "POST /v1/translations" in ran.output) == (1, True), ran.output


@pytest.fixture(scope="module")
def client(translators):
    with openai.OpenAI(base_url=f"{translators.url}/v1", api_key="x", max_retries=0) as one:
        yield one


def test_openais_edits_translate_a_picture(client):
    reply = client.images.edit(model="inverter", image=images.png(PHOTO[0]), prompt="anything")
    (one,) = reply.data
    np.testing.assert_array_equal(pixels(base64.b64decode(one.b64_json)), 255 - PHOTO[0])
    assert (reply.size, reply.output_format, one.url) == ("8x8", "png", None)


def test_openais_edits_draw_several_of_one_picture_by_their_seeds(client):
    reply = client.images.edit(
        model="full", image=("photo.png", images.png(GREY[0])), prompt="at night", n=2, size="48x32",
        extra_body={"seed": 7, "scalars": {"strength": 2}},
    )  # fmt: skip
    assert [(one.seed, one.revised_prompt) for one in reply.data] == [(7, "night"), (8, "night")]
    for one in reply.data:
        want = FULL.translated(GREY[:1], latents([one.seed], 16), np.array([2]), 2.0)[0].astype(int)
        got = pixels(base64.b64decode(one.b64_json))
        assert np.abs(got - want.repeat(2, axis=1).repeat(2, axis=2)).max() <= 1


def test_openais_edits_take_several_pictures_and_stream_them(client):
    files = [images.png(one) for one in GREY]
    events = list(
        client.images.edit(model="full", image=files, prompt="day", stream=True, extra_body={"seed": 1})
    )
    assert [event.type for event in events] == 2 * ["image_edit.completed"]
    got = np.stack([pixels(base64.b64decode(event.b64_json)) for event in events])
    assert np.abs(got - wanted([1, 2], [0, 0])).max() <= 1


@pytest.mark.parametrize(
    ("fields", "param", "says"),
    [
        ({"model": "tiny"}, "model", "POST /v1/samples"),
        ({"image": b"GIF89a"}, "image", "no PNG, JPEG or WebP"),
        ({"n": 2}, "n", "one image of each"),
        ({"response_format": "url"}, "response_format", "no address"),
        ({"mask": images.png(PHOTO[0])}, "mask", "no field 'mask'"),
        ({"extra_body": {"colour": "red"}}, "colour", "no field"),
    ],
)
def test_openais_edits_that_can_not_be_are_refused_with_the_field(client, fields, param, says):
    asked = {"model": "inverter", "image": images.png(PHOTO[0]), "prompt": ""} | fields
    with pytest.raises(openai.BadRequestError, match=says) as refused:
        client.images.edit(**asked)
    assert refused.value.param == param


@pytest.mark.parametrize("body", [b"", b"--x\r\n", b"--x\r\nbroken", b"\x00" * 100])
def test_a_form_that_is_none_is_refused(translators, body):
    with translators.client() as http:
        kind = {"content-type": "multipart/form-data; boundary=x"}
        answer = http.post("/v1/images/edits", content=body, headers=kind)
        assert answer.status_code == 400, answer.text
        assert http.post("/v1/images/edits", json={}).status_code == 415


def tensors(kind, in_binary: bool | None = None, **given):
    types = {"image": ("UINT8", np.uint8), "strength": ("FP32", np.float32)}
    made = []
    for name, values in given.items():
        datatype, dtype = types.get(name, ("INT64", np.int64))
        array = np.asarray(values, dtype)
        made.append(kind.InferInput(name, list(array.shape), datatype))
        made[-1].set_data_from_numpy(array, *([] if in_binary is None else [in_binary]))
    return made


@pytest.mark.parametrize("in_binary", [True, False])
def test_tritons_client_sends_a_tensor_of_pictures(translators, in_binary):
    with triton.InferenceServerClient(f"127.0.0.1:{translators.port}") as client:
        told = client.get_model_metadata("full")["inputs"]
        assert [(one["name"], one["datatype"], one["shape"]) for one in told] == [
            ("image", "UINT8", [-1, 1, 8, 12]),
            ("seed", "INT64", [-1]),
            ("label", "INT64", [-1]),
            ("strength", "FP32", [-1]),
        ]
        asked = tensors(triton, in_binary, image=GREY, seed=[3, 9], label=[2, 0], strength=[1, 1])
        got = client.infer("full", asked).as_numpy("image")
        assert np.abs(got - wanted([3, 9], [2, 0])).max() <= 1
        alone = client.infer("inverter", tensors(triton, in_binary, image=PHOTO)).as_numpy("image")
        np.testing.assert_array_equal(alone, 255 - PHOTO)
        for given, says in (
            ({"seed": [1]}, "no input 'seed'; allowed are image"),
            ({"image": GREY}, r"allowed is \[n, 3, 8, 8\]"),
        ):
            with pytest.raises(Exception, match=says):
                client.infer("inverter", tensors(triton, in_binary, **given))
        with pytest.raises(Exception, match="'seed' is missing"):
            client.infer("full", tensors(triton, in_binary, image=GREY))


def test_pictures_as_lists_in_lists_are_read(translators):
    with translators.client() as http:
        tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 3, 8, 8], "data": PHOTO.tolist()}
        answer = http.post("/v2/models/inverter/infer", json={"inputs": [tensor]})
        assert answer.json()["outputs"][0]["data"] == (255 - PHOTO).ravel().tolist()
        answer = http.post("/v2/models/inverter/infer", json={"inputs": [tensor | {"data": [300] * 192}]})
        assert answer.status_code == 400, answer.text
        answer = http.post("/v2/models/inverter/infer", json={"inputs": [tensor | {"data": [[[[1]]]]}]})
        assert "does not have its shape" in answer.text
