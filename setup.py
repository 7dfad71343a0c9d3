"""An editable install finds `service` and `training` beside `ganserve`, as they lie here. All else is in pyproject.toml."""

from setuptools import setup
from setuptools.command.editable_wheel import editable_wheel


class Editable(editable_wheel):
    def finalize_options(self) -> None:
        self.distribution.packages = ["ganserve", "service", "training"]
        self.distribution.package_dir = {}
        super().finalize_options()


setup(cmdclass={"editable_wheel": Editable})
