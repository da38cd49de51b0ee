"""The files of the image: the standard library and the packages, with their .pyc.

The .pyc files are of the "unchecked hash" kind: Python takes them without a look at the
source's time or content, so the mount needs no meaningful times.
"""
import ast
import pprint
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from .cpython import CPython
from .fetch import fetch, inputs
from .package import Package
from .paths import TREE, cache_root
from .step import clean_env, digest, step
from .version import Version
from .zones import write_zones

#: Parts of the standard library which a sandbox cannot use.  `ctypes`, `subprocess` and
#: `multiprocessing` are replaced by denials/.
_LEFT_OUT = ["test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "venv", "ctypes", "curses",
             "lib2to3", "multiprocessing", "subprocess.py", "pty.py", "tty.py", "dbm", "msilib", "distutils",
             "pydoc_data", "site-packages", "__phello__", "antigravity.py"]
_TEST_FOLDERS = {"test", "tests", "idle_test", "__pycache__"}


def standard_tree(version: Version, python: CPython, native: CPython, packages: list[Package]) -> Path:
    """The folder to be mounted at /usr/local, but for lib/davy."""
    pins = inputs()
    key = digest(Path(__file__), Path(__file__).with_name("zones.py"), python.key,
                 [pins[p]["sha256"] for p in version.packages], [p.key for p in packages])

    def make(folder: Path) -> None:
        lib = folder / f"lib/python{version.minor}"
        shutil.copytree(python.source / "Lib", lib, ignore=lambda _, names: [n for n in names if n in _TEST_FOLDERS])
        for name in _LEFT_OUT:
            path = lib / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        for data in python.folder.glob("_sysconfigdata_*.py"):
            shutil.copy(data, lib)
            _rewrap(lib / data.name)
        site = lib / "site-packages"
        site.mkdir()
        for package in version.packages:
            with zipfile.ZipFile(fetch(package)) as wheel:
                wheel.extractall(site)
        for package in packages:
            shutil.copytree(package.root / "site", site, dirs_exist_ok=True)
        if packages:  # Arrow reads time zones by itself
            write_zones(site / "tzdata/zoneinfo", folder / "share/zoneinfo")
        _forget_machine(site)
        precompile(native, folder, "/usr/local")

    return step("stdlib", key, make)


def _forget_machine(site: Path) -> None:
    """Packages that tell how they were compiled name the folders of this cache: the same image elsewhere has others."""
    folder = re.compile(re.escape(str(cache_root())) + r"/([\w.+-]+?)-[0-9a-f]{20}(\.part-\d+)?")
    for path in site.rglob("*.py"):
        text = path.read_bytes().decode(errors="surrogateescape")
        known = folder.sub(r"/davy/\1", text).replace(str(TREE), "/davy/guest-python")
        if known != text:
            path.write_bytes(known.encode(errors="surrogateescape"))


def _rewrap(sysconfigdata: Path) -> None:
    """Its lines were broken while they named folders of this cache, whose names are as long as they are."""
    head, _, values = sysconfigdata.read_text().partition("build_time_vars = ")
    values = pprint.pformat(ast.literal_eval(values), sort_dicts=True)
    sysconfigdata.write_text(f"{head}build_time_vars = {values}\n")


def precompile(native: CPython, folder: Path, shown: str) -> None:
    """Write .pyc files beside all sources; tracebacks show the path under `shown`."""
    # lib2to3's and the templates' sources that do not compile are gone or are skipped by -q's exit code:
    # a source which does not compile is an error here.
    subprocess.run([native.source / "python", "-S", "-m", "compileall", "-q", "-f", "-j0",
                    "--invalidation-mode", "unchecked-hash", "-s", folder, "-p", shown, folder],
                   check=True, env=clean_env(PYTHONDONTWRITEBYTECODE=""))
