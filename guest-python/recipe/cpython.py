"""CPython for this machine: it freezes modules and writes .pyc files for the guest, and,
instrumented, trains the profile.  wasm.py builds the same source for WASI.

All builds happen inside the unpacked source: CPython compiles the path of its source
folder into getpath.o, and an in-source build keeps that path empty.
"""
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .fetch import fetch, inputs
from .step import digest, jobs, run, step
from .toolchain import Toolchain
from .version import Version


@dataclass(frozen=True)
class CPython:
    key: str
    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "src"


def unpack(version: Version, folder: Path) -> Path:
    source = folder / "src"
    source.mkdir()
    subprocess.run(["tar", "xf", fetch(version.source), "-C", source, "--strip-components=1"], check=True)
    for patch in version.patches():
        run(["patch", "--batch", "--quiet", "-p1", "-i", patch], cwd=source, log=folder / "build.log")
    return source


def _source_key(version: Version) -> str:
    return digest(inputs()[version.source]["sha256"], *version.patches())


def set_opt(source: Path, flags: list[str]) -> None:
    # configure picks OPT itself and offers no way to replace it.
    makefile = source / "Makefile"
    makefile.write_text(re.sub(r"(?m)^OPT=.*$", "OPT= " + " ".join(flags), makefile.read_text()))


def native_python(version: Version, tools: Toolchain) -> CPython:
    """A Python of exactly the guest's version for this machine: it writes the frozen modules and .pyc files."""
    key = digest(Path(__file__), tools.key, _source_key(version), "native")
    return CPython(key, step("native-python", key, lambda f: build_native(version, tools, f, ["-O1"], [])))


def build_native(version: Version, tools: Toolchain, folder: Path, opt: list[str], configure: list[str],
                 cflags: str = "", ldflags: str = "", env: dict | None = None,
                 targets: tuple | list = ("python",)) -> None:
    source, log = unpack(version, folder), folder / "build.log"
    env = tools.env(CC=tools.host_cc, MODULE_BUILDTYPE="static", CFLAGS=f"-Wno-int-conversion {cflags}",
                    LDFLAGS=ldflags, **(env or {}))
    run(["./configure", "--disable-test-modules", "--without-ensurepip", "--quiet", *configure],
        cwd=source, log=log, env=env)
    set_opt(source, ["-DNDEBUG", "-fwrapv", *opt])
    shutil.copy(source / "Modules/Setup.stdlib", source / "Modules/Setup.local")
    run(["make", jobs(), *targets], cwd=source, log=log, env=env)
