"""The folder that the tests see as /usr/local/lib/python3.11: the image's own files, and the tests put back.

The image leaves the tests out; here they come from the same pinned sources that the image is built
from. Everything that is tested is the image's: its Python files, and the compiled modules that are
part of its module.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "guest-python"))

from recipe import cpython, version  # noqa: E402
from recipe.fetch import fetch, inputs  # noqa: E402
from recipe.step import digest, run, say, step  # noqa: E402

MINOR = "3.11"
SHOWN = f"/usr/local/lib/python{MINOR}"
REQUIREMENTS = ROOT / "scripts/requirements/guest-tests.txt"
#: Modules of numpy that only its tests use.
_HELPERS = ("_multiarray_tests", "_umath_tests", "_rational_tests", "_struct_ufunc_tests", "_operand_flag_tests")
_FOLDERS = {"test", "tests", "idle_test"}


def overlay(image: Path) -> Path:
    """The folder for `image`, made once and kept in the cache."""
    pins = inputs()
    parts = [pins[name]["sha256"] for name in ("cpython-3.11", "numpy", "pandas", "arrow")]
    absent = HERE / "inside/absent/_compiled_helpers.py"
    key = digest(Path(__file__), image, REQUIREMENTS, absent, parts, *version.load(MINOR).patches())
    return step("guest-tests", key, lambda folder: _make(image, folder))


def _make(image: Path, folder: Path) -> None:
    _unpack_image(image, folder)
    # Where sys.executable points: tests look at it. The guest has no program there.
    (folder / "bin").mkdir()
    (folder / "bin/python").touch()
    lib = folder / f"lib/python{MINOR}"
    site = lib / "site-packages"
    work = folder / "work"
    work.mkdir()
    _python(lib, work)
    for name, top, package in (
        ("numpy", "numpy-", "numpy"),
        ("pandas", "pandas-", "pandas"),
        ("arrow", "apache-arrow-", "python/pyarrow"),
    ):
        _package(name, top, package, site, work)
    for name in _HELPERS:
        shutil.copy(HERE / "inside/absent/_compiled_helpers.py", site / f"numpy/_core/{name}.py")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--require-hashes"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--target", work / "wheels", "-r", REQUIREMENTS]
    subprocess.run(command, check=True)
    shutil.copytree(work / "wheels", site, dirs_exist_ok=True, ignore=shutil.ignore_patterns("bin"))
    shutil.rmtree(work)
    # Compiled once here instead of in each sandbox. Some of CPython's test data is no valid Python on purpose.
    compile_all = ["-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run(
        [sys.executable, *compile_all, "-s", lib, "-p", SHOWN, lib],
        check=False,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )


def _unpack_image(image: Path, folder: Path) -> None:
    say(f"unpacking {image.name}")
    reader = subprocess.Popen(["zstd", "-dc", "--long=27", image], stdout=subprocess.PIPE)
    with tarfile.open(fileobj=reader.stdout, mode="r|") as outer:
        for member in outer:
            if member.name == "files.tar":
                with tarfile.open(fileobj=outer.extractfile(member), mode="r|") as files:
                    files.extractall(folder, filter="data")
    if reader.wait():
        raise SystemExit(f"unpacking {image} failed")


def _python(lib: Path, work: Path) -> None:
    """CPython's tests, with the changes that its security patches made to them."""
    found = version.load(MINOR)
    source = cpython.unpack(found, work)
    _tests_only(source / "Lib", lib)
    shutil.rmtree(source)


def _package(name: str, top: str, package: str, site: Path, work: Path) -> None:
    source = work / name
    source.mkdir()
    depth = package.count("/") + 1
    patterns = [f"{top}*/{package}/*", f"{top}*/pytest.ini", f"{top}*/pyproject.toml", f"{top}*/python/setup.cfg"]
    run(["tar", "xf", fetch(name), "-C", source, "--strip-components=1", "--wildcards", *patterns[:1]],
        cwd=work, log=work / "tar.log")  # fmt: skip
    for pattern in patterns[1:]:  # not every source has each
        subprocess.run(["tar", "xf", fetch(name), "-C", source, "--strip-components=1", "--wildcards", pattern],
                       check=False, stderr=subprocess.DEVNULL)  # fmt: skip
    last = package.rpartition("/")[2]
    _tests_only(source / package, site / last)
    for settings in ("pytest.ini", "pyproject.toml", "setup.cfg"):
        found = source / ("python" if depth > 1 else "") / settings
        if found.is_file():
            (site / "settings" / last).mkdir(parents=True, exist_ok=True)
            shutil.copy(found, site / "settings" / last)


def _tests_only(source: Path, target: Path) -> None:
    """Copies the folders of tests and what pytest reads beside them."""
    for path in sorted(source.rglob("*")):
        within = path.relative_to(source)
        tests = _FOLDERS & set(within.parts)
        if path.is_file() and (tests or path.name == "conftest.py") and path.suffix != ".pyc":
            (target / within).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / within)
