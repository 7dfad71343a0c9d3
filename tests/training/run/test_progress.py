import io

import pytest
from rich.console import Console

from training.run.progress import LINE_SECONDS, Display, description

FIGURES = {"loss/D": 1.25, "loss/G": 0.9, "D(x)": 0.6, "D(G(z))": 0.4, "gradient/D": 2.0, "gradient/G": 1.5}


def test_line_names_every_figure() -> None:
    assert description(FIGURES, 150, 150 * 3723) == (
        "loss D 1.25 G 0.90  D(x) 0.60 D(G(z)) 0.40  |grad D| 2.00 |grad G| 1.50  150 images/s  1:02:03 left"
    )


def test_a_run_that_passes_its_last_image_has_no_time_left() -> None:
    assert description(FIGURES, 10, -20).endswith("0:00:00 left")


def test_log_gets_a_line_now_and_then_and_at_the_end() -> None:
    out = io.StringIO()
    display = Display(Console(file=out, width=80), 1000, 0, now=0.0)
    with display.bar:
        display.show(FIGURES, 10, now=1.0)
        display.show(FIGURES, 400, now=LINE_SECONDS + 1)
        display.show(FIGURES, 500, now=LINE_SECONDS + 2)
        display.show(FIGURES, 1000, now=LINE_SECONDS + 3)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["400/1,000", "1,000/1,000"]


def test_terminal_gets_a_bar() -> None:
    out = io.StringIO()
    display = Display(Console(file=out, width=160, force_terminal=True), 1000, 0, now=0.0)
    with display.bar:
        display.show(FIGURES, 500, now=10.0)
    assert "500/1,000 images" in out.getvalue()
    assert "50 images/s" in out.getvalue()


def test_speed_forgets_what_is_long_past() -> None:
    display = Display(Console(file=io.StringIO()), 10_000, 0, now=0.0)
    with display.bar:
        for second in range(10, 101, 10):
            display.show(FIGURES, second, now=float(second))
        for second in range(110, 301, 10):
            display.show(FIGURES, 100 + (second - 100) * 20, now=float(second))
    assert display.images_per_second == pytest.approx(20)
