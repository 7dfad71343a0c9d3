"""For all tests: signals are heard, examples may take as long as a busy machine takes, and what a run took is told by folder."""

import signal
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings


def pytest_configure() -> None:
    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")
    # A background job of a shell ignores the one, nohup the other, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds["/".join(Path(report.location[0]).parts[:2])] += report.duration
    if len(seconds) > 1:
        told = ", ".join(
            f"{folder} {spent:.0f}" for folder, spent in sorted(seconds.items(), key=lambda item: -item[1])
        )
        terminalreporter.write_line(f"Seconds of tests by folder: {told}")
