"""The command line: `make bench`, or `python -m benchmarks`."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.comparison import bench, environments, load, report
from benchmarks.comparison.bench import Plan
from benchmarks.comparison.report import Run
from benchmarks.comparison.workloads import QUICK, WORKLOADS
from benchmarks.server import machine
from benchmarks.server.servers import SERVERS, Server

HERE = Path(__file__).parent
# Not benchmarks.models.MODELS: that file imports onnx, and this process should share no pages with a server.
MODELS = ("fashion-mnist", "large", "instant")
MIN_ALTERNATIONS = 3


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--only",
    default="",
    metavar="NAME[,NAME]",
    help="Only servers whose name holds one of these, whatever the case; a whole name means that server alone.",
)
@click.option(
    "--models",
    default=",".join(MODELS),
    show_default=True,
    metavar="NAME[,NAME]",
    help="Which models: the shipped one, one of 64x64x3 and 9M random weights, one with next to no arithmetic.",
)
@click.option(
    "--seconds",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="How long each load lasts, after a second of warm-up; longer where no client would get three answers in that time.",
)
@click.option(
    "--alternations",
    default=MIN_ALTERNATIONS,
    show_default=True,
    type=click.IntRange(1),
    help="How often every server is started and measured, in turn; the table has the medians.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="To try it, in a minute or two: the shipped model, three loads of one second, one alternation. No result.",
)
@click.option(
    "--out",
    default=HERE / "results",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the table (.md) and every single measurement (.json) are written.  [default: benchmarks/results]",
)
def main(only: str, models: str, seconds: int, alternations: int, quick: bool, out: Path) -> None:
    """Measure ganserve and its peers on this machine: same model, same engine, same answers.

    Each server is started alone, compared with the engine's own pictures, then loaded by wrk. All of it takes
    about an hour and a half on two cores, and is a result only if nothing else runs on the machine meanwhile.
    """
    console = Console()
    try:
        load.require_wrk()
    except load.WrkFailed as error:
        raise click.ClickException(str(error)) from error
    chosen = models.split(",")
    if unknown := set(chosen) - set(MODELS):
        raise click.BadParameter(
            f"{', '.join(sorted(unknown))}; there are {', '.join(MODELS)}", param_hint="--models"
        )
    plan = Plan(select(only), chosen, WORKLOADS, alternations, seconds)
    if quick:
        plan = replace(plan, models=MODELS[:1], workloads=QUICK, alternations=1, seconds=1)
    run = Run(
        machine=machine.facts(), settings={"seconds a load": plan.seconds, "alternations": plan.alternations}
    )
    plan = replace(plan, servers=install(plan.servers, run, console))
    if (busy := machine.busy_cores()) > machine.OTHER_CORES:
        run.warnings.append(
            f"the machine was not quiet: {busy:.1f} cores were busy before the start (load average {run.machine['load_average'][0]})"
        )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, interrupted(run):
        task = progress.add_task("", total=plan.loads)

        def tell(what: str, done: int) -> None:
            progress.update(task, advance=done, description=what or None)

        bench.measure(plan, HERE / ".models", run, tell)
    judge(run, plan)
    # A table of this width broken into narrower columns can't be read; terminals fold or scroll lines.
    wide = Console(width=max(console.width, 180))
    wide.print(table(run), "", report.LEGEND, sep="\n", highlight=False)
    whole = not only and set(plan.models) == set(MODELS) and not quick
    console.print(f"Written to {report.save(run, out, 'serving' if whole else 'serving-part')} and .json.")
    if run.failures:
        raise click.ClickException("\n".join(f"{one.model}, {one.server}: {one.why}" for one in run.failures))


def select(only: str) -> list[Server]:
    """The servers that --only means; all of them if it is empty. Raises click.BadParameter."""
    found = []
    for wanted in [name.strip().casefold() for name in only.split(",")]:
        exact = [server for server in SERVERS if server.name.casefold() == wanted]
        found += exact or [server for server in SERVERS if wanted in server.name.casefold()]
    if not found:
        raise click.BadParameter(
            f"'{only}' names none of: {', '.join(s.name for s in SERVERS)}", param_hint="--only"
        )
    return [server for server in SERVERS if server in found]


def install(servers: Sequence[Server], run: Run, console: Console) -> list[Server]:
    """Install the peers' environments. Returns the servers that can be started; the others are warned of."""
    missing: set[str] = set()
    for peer in report.unique(server.venv for server in servers if server.venv):
        with console.status(f"Installing {peer} into benchmarks/.venvs/{peer} (once, a minute) ..."):
            try:
                environments.install(peer)
            except environments.NotInstalled as error:
                console.print(f"{peer} is left out: {error}", style="red", markup=False)
                missing.add(peer)
                run.warnings.append(f"{peer} could not be installed and is left out")
    return [server for server in servers if server.venv not in missing]


@contextlib.contextmanager
def interrupted(run: Run):
    """Ctrl-C ends the measuring, and what was measured is reported."""
    try:
        yield
    except KeyboardInterrupt:
        run.warnings.append("it was interrupted")


def judge(run: Run, plan: Plan) -> None:
    """Add to the warnings what keeps the figures from being results."""
    if plan.alternations < MIN_ALTERNATIONS:
        run.warnings.append(f"fewer than {MIN_ALTERNATIONS} alternations")
    # A load that others disturbed once of three times is not the median.
    others: dict[tuple, list[float]] = {}
    for cell in run.cells:
        others.setdefault((cell.model, cell.workload, cell.server), []).append(cell.other_cores)
    disturbed = [cores for each in others.values() if (cores := median(each)) > machine.OTHER_CORES]
    if disturbed:
        run.warnings.append(
            f"the machine was not quiet: other processes took up to {max(disturbed):.1f} cores during {len(disturbed)} of {len(others)} loads"
        )


def table(run: Run) -> Table:
    """The result for the terminal."""
    shown = Table(*report.HEADER)
    for column in shown.columns[3:]:
        column.justify = "right"
    for row in report.rows(run):
        shown.add_row(
            *row,
            style="red" if row[0].startswith("NOT VALID") else "bold" if row[2].startswith("raw") else None,
        )
    return shown


if __name__ == "__main__":
    main()
