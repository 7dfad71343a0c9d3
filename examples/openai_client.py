"""Images by OpenAI's Python client, as files. The prompt names a class; the same seed gives the same images.

Needs a service that runs (`make serve`) and OpenAI's package: `pip install openai`.

    python examples/openai_client.py "four sneakers" -n 4 --size 256x256 --seed 1 --out sneakers
"""

import argparse
import base64
import os
from pathlib import Path

from openai import OpenAI


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prompt", help="as 'four sneakers'")
    parser.add_argument("--url", default="http://localhost:3000")
    parser.add_argument("--model", default="fashion-mnist")
    parser.add_argument("-n", type=int, default=1, help="how many images (default: %(default)s)")
    parser.add_argument("--size", default="auto", help="auto is the model's own; else as 256x256")
    parser.add_argument("--seed", type=int, help="of the first image; image i has seed + i")
    parser.add_argument("--out", type=Path, default=Path("images"), help="folder (default: %(default)s)")
    asked = parser.parse_args()

    # A server without API keys takes any.
    key = os.environ.get("GANSERVE_API_KEY") or "any"
    with OpenAI(base_url=f"{asked.url}/v1", api_key=key) as client:
        reply = client.images.generate(
            model=asked.model,
            prompt=asked.prompt,
            n=asked.n,
            size=asked.size,
            # A field of ours, beside OpenAI's.
            extra_body={} if asked.seed is None else {"seed": asked.seed},
        )
    asked.out.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(reply.data or []):
        file = asked.out / f"{number}.png"
        file.write_bytes(base64.b64decode(image.b64_json or ""))
        print(f"{file}: {image.revised_prompt}")


if __name__ == "__main__":
    main()
