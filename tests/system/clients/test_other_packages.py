"""Packages that nobody here wrote, unmodified, from the indexes that they come from: each in an environment of its own.

They would bring some two hundred others into the test environment, so they are installed where they are needed; without a way to the
indexes, PyPI or npm, these tests are skipped.
"""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.needs import program

JAVASCRIPT = [
    "openai@6.49.0",
    "@langchain/openai@1.5.8",
    "@langchain/core@1.4.0",
    "ai@6.0.326",
    "@ai-sdk/openai@3.0.141",
]


def run(words: list[str], folder, **more) -> subprocess.CompletedProcess:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=240, **more)


@pytest.fixture
def python(server, tmp_path):
    """Runs a program with those packages; its first argument is the service's address. Returns what it printed, as JSON."""

    def call(packages: list[str], source: str):
        chosen = [word for package in packages for word in ("--with", package)]
        uv = [program("uv", "uv"), "run", "--quiet", "--no-project", "--python", sys.executable, *chosen]
        if (found := run([*uv, "python", "-c", "pass"], tmp_path)).returncode:
            pytest.skip(f"no index has {', '.join(packages)}: {found.stderr.strip().splitlines()[-1]}")
        done = run([*uv, "python", "-W", "ignore", "-c", source, server.url], tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory):
    """A folder that has what is in JAVASCRIPT."""
    folder = tmp_path_factory.mktemp("javascript")
    found = run(
        [program("npm", "npm"), "install", "--no-fund", "--no-audit", "--ignore-scripts", *JAVASCRIPT], folder
    )
    if found.returncode:
        pytest.skip(f"no index has {', '.join(JAVASCRIPT)}: {found.stderr.strip()[-200:]}")
    return folder


@pytest.fixture
def javascript(server, node_modules):
    def call(source: str):
        (node_modules / "program.mjs").write_text(source)
        done = run(["node", "program.mjs", server.url], node_modules)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


def test_langchain_in_python(python, server):
    found = python(
        ["langchain-community==0.4.2", "openai==3.54.0"],
        """
import json, sys
from langchain_community.utilities.dalle_image_generator import DallEAPIWrapper
wrapper = DallEAPIWrapper(api_key="x", base_url=sys.argv[1] + "/v1", model="tiny", n=2)
print(json.dumps(wrapper.run("a sneaker")))
""",
    )
    urls = found.split("\n")
    assert len(urls) == 2
    assert all(server.get(url).headers["content-type"] == "image/png" for url in urls)


def test_mlserver_s_codecs(python, server):
    found = python(
        ["mlserver==1.7.1", "requests"],
        """
import json, sys
import numpy as np
import requests
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
columns = {"seed": [[1], [2]], "label": [[1], [0]]}
inputs = [NumpyCodec.encode_input(name, np.array(values)) for name, values in columns.items()]
body = InferenceRequest(inputs=inputs).model_dump_json(exclude_none=True)
reply = requests.post(sys.argv[1] + "/v2/models/tiny/infer", body, headers={"content-type": "application/json"})
reply.raise_for_status()
images = NumpyCodec.decode_output(InferenceResponse.model_validate(reply.json()).outputs[0])
print(json.dumps([str(images.dtype), images.tolist()]))
""",
    )
    for image, seed, label in zip(found[1], [1, 2], [1, 0], strict=True):
        png = server.samples(model="tiny", seed=seed, label=label).content
        assert np.array_equal(image[0], np.array(Image.open(io.BytesIO(png))))
    assert found[0] == "uint8"


def test_kserve_s_sdk(python, server):
    found = python(
        ["kserve==0.21.0"],
        """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    assert await client.is_server_ready(sys.argv[1])
    assert await client.is_model_ready(sys.argv[1], "tiny")
    seed = InferInput("seed", [2], "INT64")
    seed.set_data_from_numpy(np.array([1, 2]), binary_data=False)
    request = InferRequest(model_name="tiny", infer_inputs=[seed])
    reply = await client.infer(sys.argv[1], request, model_name="tiny")
    print(json.dumps(reply.outputs[0].shape))

asyncio.run(main())
""",
    )
    assert found[0] == 2


def test_openai_s_client_for_javascript(javascript):
    found = javascript("""
import OpenAI from "openai";
const client = new OpenAI({ apiKey: "x", baseURL: `${process.argv[2]}/v1` });
const reply = await client.images.generate({ model: "tiny", prompt: "bag", n: 2 });
console.log(JSON.stringify(reply.data.map((one) => one.b64_json.slice(0, 8))));
""")
    assert found == ["iVBORw0K"] * 2


def test_langchain_in_javascript(javascript, server):
    url, both = javascript("""
import { DallEAPIWrapper } from "@langchain/openai";
const fields = { apiKey: "x", baseUrl: `${process.argv[2]}/v1`, model: "tiny" };
const one = await new DallEAPIWrapper(fields).invoke("bag");
const both = await new DallEAPIWrapper({ ...fields, n: 2, dallEResponseFormat: "b64_json" }).invoke("bag");
console.log(JSON.stringify([one, both]));
""")
    assert server.get(url).headers["content-type"] == "image/png"
    assert [one["image_url"]["url"][:8] for one in both] == ["iVBORw0K"] * 2


def test_vercel_s_ai_sdk(javascript):
    found = javascript("""
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_generateImage as generateImage } from "ai";
const provider = createOpenAI({ apiKey: "x", baseURL: `${process.argv[2]}/v1` });
const { images } = await generateImage({ model: provider.image("tiny"), prompt: "bag", n: 2 });
console.log(JSON.stringify(images.map((one) => [one.mediaType, one.base64.slice(0, 8)])));
""")
    assert found == [["image/png", "iVBORw0K"]] * 2
