"""`python -m training theory`: computes what docs/theory.md says, draws its pictures, writes its figures."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from training.commands.sources import FOLDER
from training.evaluation.report import table
from training.files import write_atomically
from training.research.documents import fill_document, machine, save_json
from training.research.theory import ring
from training.research.theory.figures import SECTIONS, SEEDS
from training.research.theory.rows import rows_from_json, rows_table, rows_to_json, worst

PACES = {
    "D keeps up with G": ring.KEEPS_UP,
    "D ten times slower": ring.FALLS_BEHIND,
    "the same, 5 updates of D": ring.CATCHES_UP,
}
RING_STEPS = 1000
FIGURES = "figures.json"


@click.command("theory")
@click.option(
    "--out",
    type=FOLDER,
    default=Path("docs/theory"),
    show_default=True,
    help="Folder of the pictures and figures; the document is the .md of this name beside it.",
)
@click.option(
    "--work",
    type=FOLDER,
    default=Path("runs/theory"),
    show_default=True,
    help="Folder of the runs on the ring: those that are there are not run again.",
)
@click.option("--seeds", type=click.IntRange(1, len(SEEDS)), default=len(SEEDS), show_default=True)
@click.option(
    "--ring-steps", type=click.IntRange(1), default=RING_STEPS, show_default=True, help="Updates of G."
)
def command(out: Path, work: Path, seeds: int, ring_steps: int) -> None:
    """Compute the claims of docs/theory.md on densities whose truth is known.

    Takes about six minutes of one core; stopped, the same command goes on with the runs that are missing.
    """
    from training.research.theory import plots  # matplotlib takes a second to import

    torch.set_num_threads(1)
    chosen = SEEDS[:seeds]
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        done = bar(progress, "claims", len(SECTIONS) * seeds)
        rows = {
            name: worst([ticked(section(seed), done) for seed in chosen])
            for name, section in SECTIONS.items()
        }
        done = bar(progress, "ring", len(PACES) * len(ring.RECIPES))
        points = {
            pace_name: {
                name: ticked(ring_points(work, recipe, pace, ring_steps, chosen), done)
                for name, recipe in ring.RECIPES.items()
            }
            for pace_name, pace in PACES.items()
        }
        done = bar(progress, "pictures", 6)
        ticked(plots.optimal_discriminator(out / "optimal-discriminator.png", chosen[0]), done)
        ticked(plots.value_at_optimum(out / "value.png", chosen[0]), done)
        ticked(plots.divergences(out / "divergences.png"), done)
        ticked(plots.supports_apart(out / "supports-apart.png"), done)
        ticked(plots.vanishing_gradient(out / "gradients.png", chosen), done)
        (data,) = ring.ring(ring.SAMPLES, [torch.Generator().manual_seed(chosen[0])])
        first = {pace: {name: found[0] for name, found in cells.items()} for pace, cells in points.items()}
        ticked(plots.ring(out / "ring.png", data, first), done)
    found = {
        "machine": machine(),
        "seeds": list(chosen),
        "ring_steps": ring_steps,
        "rows": {name: rows_to_json(section) for name, section in rows.items()},
        "ring": {
            pace: {name: [asdict(ring.reached(x)) for x in tensor] for name, tensor in cells.items()}
            for pace, cells in points.items()
        },
    }
    save_json(out / FIGURES, found)
    document = out.with_suffix(".md")
    if document.exists():
        fill_document(document, blocks(found))
    missed = [row.claim for section in rows.values() for row in section if not row.holds]
    console.print(
        f"In {out}. " + (f"Not as theory says: {'; '.join(missed)}" if missed else "Every claim holds.")
    )


def blocks(found: dict[str, Any]) -> dict[str, str]:
    """The document's tables, from what `figures.json` holds."""
    seeds = len(found["seeds"])
    tables = {name: rows_table(rows_from_json(rows), seeds) for name, rows in found["rows"].items()}
    paces = list(found["ring"])
    cells = [
        [recipe, *(in_cell(found["ring"][pace][recipe]) for pace in paces)]
        for recipe in found["ring"][paces[0]]
    ]
    head = ["modes reached by each seed, of 8 (share of samples near one, median)", *paces]
    budget = (
        f"Computed by `python -m training theory`, six minutes of a core, on {found['machine']}: seeds {found['seeds'][0]} "
        f"to {found['seeds'][-1]}, {found['ring_steps']:,} updates of G on the ring."
    )
    return tables | {"ring": table(head, cells), "budget": budget}


def in_cell(seeds: list[dict[str, Any]]) -> str:
    return f"{' '.join(str(one['modes']) for one in seeds)} ({median(one['near'] for one in seeds):.2f})"


def ring_points(
    work: Path, recipe: ring.Recipe, pace: ring.Pace, steps: int, seeds: Sequence[int]
) -> torch.Tensor:
    """`ring.trained`, or what it found when it was asked before: [seeds, SAMPLES, 2]."""
    words = [f"{name}{value}" for part in (recipe, pace) for name, value in asdict(part).items()]
    file = work / f"{'-'.join(words)}-steps{steps}-seeds{len(seeds)}.bin"
    if file.exists():
        return torch.from_numpy(np.fromfile(file, np.float32).reshape(len(seeds), ring.SAMPLES, 2))
    found = ring.trained(recipe, pace, steps, seeds)
    write_atomically(file, found.numpy().tobytes())
    return found


def ticked(found: Any, done: Callable[[], None]) -> Any:
    done()
    return found


def bar(progress: Progress, description: str, total: int) -> Callable[[], None]:
    task = progress.add_task(description, total=total)
    return lambda: progress.advance(task)
