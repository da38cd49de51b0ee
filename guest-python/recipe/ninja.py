"""Compiles many files in parallel into static libraries: a small build.ninja, written and run."""
from pathlib import Path

from .buildtools import BuildTools
from .cpython import CPython
from .step import jobs, run
from .toolchain import Toolchain

_RULES = """\
rule cc
  command = {bin}/clang --target=wasm32-wasip1 --sysroot={root}/usr $flags -MD -MF $out.d -c $in -o $out
  depfile = $out.d
  description = $out
rule cxx
  command = {bin}/clang++ --target=wasm32-wasip1 --sysroot={root}/usr $flags -MD -MF $out.d -c $in -o $out
  depfile = $out.d
  description = $out
rule cython
  command = {cython} $flags $in -o $out
  description = $out
rule ar
  command = rm -f $out && {bin}/llvm-ar rcsD $out $in
  description = $out
"""


def _escape(text: object) -> str:
    return str(text).replace("$", "$$").replace(":", "$:").replace(" ", "$ ")


def cython_command(build: BuildTools, native: CPython) -> str:
    return f"env PYTHONPATH={build.root} {native.source}/python {build.root}/cython.py"


class Plan:
    """Files to make in `folder`; `make` makes them."""

    def __init__(self, tools: Toolchain, build: BuildTools, folder: Path, cython: str = "false"):
        self._tools, self._build, self._folder = tools, build, folder
        self._lines = [_RULES.format(bin=tools.bin, root=tools.root, cython=cython)]
        self._made = 0

    def cython(self, source: Path, target: Path, flags: list[str]) -> Path:
        self._edge("cython", target, [source], flags)
        return target

    def compile(self, source: Path, flags: list[str], after: list[Path] = ()) -> Path:
        """The object of a C or C++ file; `after` are files that must be there before."""
        self._made += 1
        target = self._folder / f"{self._made:03}-{source.stem}.o"
        self._edge("cc" if source.suffix == ".c" else "cxx", target, [source], flags, after)
        return target

    def archive(self, target: Path, objects: list[Path]) -> None:
        self._edge("ar", target, objects, [])

    def _edge(self, rule: str, target: Path, sources: list[Path], flags: list[str], after: list[Path] = ()) -> None:
        order = f" || {' '.join(map(_escape, after))}" if after else ""
        self._lines.append(f"build {_escape(target)}: {rule} {' '.join(map(_escape, sources))}{order}\n"
                           f"  flags = {' '.join(flags)}")

    def make(self, log: Path, **env: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "build.ninja").write_text("\n".join(self._lines) + "\n")
        run([self._build.ninja, jobs(), "-C", self._folder], cwd=self._folder, log=log, env=self._tools.env(**env))
