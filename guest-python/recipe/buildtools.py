"""Build tools that PyPI keeps for ever: CMake, Ninja, Meson, Cython.

Their wheels are unpacked side by side. The Python ones run on the native Python of the guest's
version, so that what they generate does not depend on the machine's.
"""
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .fetch import fetch, inputs
from .step import digest, step

_WHEELS = ["cmake", "ninja", "meson", "cython"]


@dataclass(frozen=True)
class BuildTools:
    key: str
    root: Path

    @property
    def cmake(self) -> Path:
        return self.root / "cmake/data/bin/cmake"

    @property
    def ninja(self) -> Path:
        return self.root / "bin/ninja"


def build_tools() -> BuildTools:
    pins = inputs()
    key = digest(Path(__file__), [pins[w]["sha256"] for w in _WHEELS])

    def make(folder: Path) -> None:
        (folder / "bin").mkdir()
        for name in _WHEELS:
            with zipfile.ZipFile(fetch(name)) as wheel:
                wheel.extractall(folder)
        for program in [*(folder / "cmake/data/bin").iterdir(), *folder.glob("*.data/scripts/ninja")]:
            program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
        next(folder.glob("*.data/scripts/ninja")).rename(folder / "bin/ninja")

    return BuildTools(key, step("build-tools", key, make))
