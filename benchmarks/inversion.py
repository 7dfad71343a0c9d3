"""python -m benchmarks.inversion URL --data DATA: what steps of refinement of POST /v1/inversions bring, and what they cost.

Of real pictures that neither generator nor encoder was trained on.
"""

import time
from pathlib import Path

import click
import numpy as np

from ganserve.bench import cpu_seconds
from ganserve.client import Client

STEPS = (0, 1, 2, 4, 8, 16)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", default="http://localhost:3000")
@click.option("--model", default="fashion-mnist", show_default=True)
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="As `python -m training` takes it."
)
@click.option("--pictures", type=click.IntRange(2), default=300, show_default=True)
def main(url: str, model: str, data: Path, pictures: int) -> None:
    """The error of held-out pictures by the number of steps: grey levels, ± one standard error; and what a picture takes, one after another."""
    from training.data.formats import load
    from training.encoding.measure import held_out

    images, _ = held_out(load(data), pictures)
    with Client(url) as client:
        print(f"{model}, {len(images)} held-out pictures of {data}")
        print("steps  error           ms a picture  ms of the server's cores")
        for steps in STEPS:
            begun, used = time.perf_counter(), cpu_seconds(client.server)
            errors = [
                client.invert(one, model=model, steps=steps).errors[0] for one in images.transpose(0, 2, 3, 1)
            ]
            each = 1000 * (time.perf_counter() - begun) / len(errors)
            after = cpu_seconds(client.server)
            cores = "?" if used is None or after is None else f"{1000 * (after - used) / len(errors):.1f}"
            error = f"{np.mean(errors):.2f} ± {np.std(errors, ddof=1) / len(errors) ** 0.5:.2f}"
            print(f"{steps:5d}  {error:14s}  {each:12.1f}  {cores:>24s}")


if __name__ == "__main__":
    main()
