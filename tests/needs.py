"""What a test needs of the machine beside Python."""

import os
import shutil
import sys
from pathlib import Path

import pytest


def needs(found: object, package: str) -> None:
    """Skip the test on a laptop without that package, of Debian or of the dev extra; in CI, which installs it, fail."""
    allowed(found, f"the package {package} is not installed")


def allowed(found: object, why: str) -> None:
    """The same of what only root may do, as whom CI runs."""
    if not found:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(why)


def program(name: str, package: str) -> str:
    """Where that program is: beside this Python, on the path, or where Debian keeps servers. Needs its package."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
    needs(found, package)
    assert found is not None
    return found
