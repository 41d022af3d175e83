"""Puts the built library into the wheel, so that the installed package needs nothing else.

The library is taken from the environment variable ADADIFF_LIBRARY, else from the build folder of this source tree.
Without either the package is pure Python and looks for the library when it is imported (see adadiff/_library.py).
"""

import os
import pathlib
import shutil

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
BUILT = HERE.parent.parent / ".build" / "release" / "libadadiff.so"


def library() -> pathlib.Path | None:
    given = os.environ.get("ADADIFF_LIBRARY")
    if given:
        return pathlib.Path(given)
    return BUILT if BUILT.exists() else None


class BuildWithLibrary(build_py):
    def run(self) -> None:
        super().run()
        source = library()
        if source is not None and not self.editable_mode:
            shutil.copy(source, pathlib.Path(self.build_lib) / "adadiff" / "libadadiff.so")


class PlatformWheel(bdist_wheel):
    """The wheel holds machine code but depends on no Python version: py3-none-<platform>."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = library() is None

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel})
