"""A Python package with compiled parts, built for the guest.

Its folder holds `site/` (Python files), `lib/*.a` (one library a module), `modules.txt` (a line
for each module: its full name and the C function that makes it) and perhaps `include/`.
"""
import shutil
from dataclasses import dataclass
from pathlib import Path

from .step import digest

_NOT_NEEDED = ("*.so", "*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.h", "*.c", "*.cc", "*.cpp", "*.a", "*.in", "*.build",
               "*.typed", "__pycache__")


@dataclass(frozen=True)
class Package:
    key: str
    root: Path
    #: Libraries of others that its own need.
    needs: tuple = ()

    @property
    def link(self) -> list:
        """In link order: a library comes before those that it uses."""
        return [*sorted((self.root / "lib").glob("*.a")), *self.needs]

    @property
    def declarations_key(self) -> str:
        """Of what packages compiled against this one read of it: its code may change without them."""
        files = sorted(p for name in ("include", "cython") for p in (self.root / name).rglob("*") if p.is_file())
        return digest([str(p.relative_to(self.root)) for p in files], *files)

    @property
    def modules(self) -> list[tuple[str, str]]:
        return [tuple(line.split()) for line in (self.root / "modules.txt").read_text().splitlines()]


def install_python(source: Path, target: Path, left_out: list[str]) -> None:
    """Copy what runs: no tests, no stubs, no sources of compiled parts."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*_NOT_NEEDED, *left_out))
