"""What a test needs of the machine beside Python."""

import os

import pytest


def needs(found: object, package: str) -> None:
    """Skip the test on a laptop without that Debian package; in CI, which installs it, fail."""
    if not found:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"the Debian package {package} is not installed")
