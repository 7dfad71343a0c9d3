"""What a person sees while a run trains: a bar in a terminal, a line now and then in a log."""

from collections import deque
from collections.abc import Iterable
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress

# Between two lines where the output is not a terminal.
LINE_SECONDS = 30.0
# The window over which images/s is measured: longer than a checkpoint or a grid of samples.
SPEED_SECONDS = 60.0


class Display:
    """Images seen, speed and time left, with the newest figures. Times are time.monotonic() seconds."""

    def __init__(self, console: Console, images: int, images_seen: int, now: float) -> None:
        self.console, self.images = console, images
        self.window = deque([(now, images_seen)])
        self.line_due = now + LINE_SECONDS
        images_done, bar = "{task.completed:,.0f}/{task.total:,.0f} images", BarColumn(bar_width=20)
        hidden = not console.is_terminal
        self.bar = Progress(images_done, bar, "{task.description}", console=console, disable=hidden)
        self.task = self.bar.add_task("starting", total=images, completed=images_seen)

    def warn(self, name: str, words: str) -> None:
        """A line that stays, above the bar."""
        line = f"Warning: {name}: {words}"
        self.console.print(line, style="yellow", soft_wrap=True, highlight=False, markup=False)

    def go_back(self, images_seen: int, now: float) -> None:
        """The run goes on from an earlier state; the speed is measured anew."""
        self.window = deque([(now, images_seen)])
        self.bar.update(self.task, completed=images_seen)

    def show(
        self, figures: dict[str, float], images_seen: int, now: float, warnings: Iterable[str] = ()
    ) -> None:
        """figures: means since the last call, by TensorBoard name. warnings: names of those that last."""
        self.window.append((now, images_seen))
        while now - self.window[1][0] > SPEED_SECONDS and len(self.window) > 2:
            self.window.popleft()
        words = description(figures, self.images_per_second, self.images - images_seen)
        words += "".join(f"  ! {name}" for name in sorted(warnings))
        self.bar.update(self.task, completed=images_seen, description=words)
        if not self.console.is_terminal and (now >= self.line_due or images_seen >= self.images):
            line = f"{images_seen:,}/{self.images:,} images  {words}"
            self.console.print(line, soft_wrap=True, highlight=False)
            self.line_due = now + LINE_SECONDS

    @property
    def images_per_second(self) -> float:
        (before, seen_before), (now, seen) = self.window[0], self.window[-1]
        return (seen - seen_before) / (now - before) if now > before else 0.0


def description(figures: dict[str, float], images_per_second: float, images_left: int) -> str:
    """`D 0.69 G 0.71  D(x) 0.50 D(G(z)) 0.50  |grad D| 1.0 |grad G| 0.3  150 images/s  1:02:03 left`"""

    def value(name: str) -> str:
        return f"{figures.get(name, float('nan')):.2f}"

    # A run ends with the update in which it passes its last image.
    seconds = max(images_left, 0) / images_per_second if images_per_second > 0 else None
    left = "?" if seconds is None else timedelta(seconds=round(seconds))
    speed = f"{images_per_second:.0f} images/s  {left} left"
    if "loss/D" not in figures:  # a flow
        return f"loss {value('loss/G')}  |grad| {value('gradient/G')}  {speed}"
    return (
        f"loss D {value('loss/D')} G {value('loss/G')}  D(x) {value('D(x)')} D(G(z)) {value('D(G(z))')}  "
        f"|grad D| {value('gradient/D')} |grad G| {value('gradient/G')}  {speed}"
    )
