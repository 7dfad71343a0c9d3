"""What a run took, by folder."""

from collections import defaultdict
from pathlib import Path

import pytest


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
