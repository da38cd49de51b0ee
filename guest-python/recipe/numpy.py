"""numpy, by its own Meson build: a library of objects for each part, the Python files, the headers."""
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .buildtools import BuildTools
from .cplusplus import EMULATED, KERNELS, LONGS
from .cpython import CPython
from .fetch import fetch, inputs
from .libcxx import Libcxx
from .package import Package, install_python
from .paths import patches
from .step import digest, jobs, run, step
from .toolchain import Toolchain

#: numpy's own tests of its C code.
_LEFT_OUT = ("_simd", "_umath_tests", "_multiarray_tests", "_rational_tests", "_struct_ufunc_tests",
             "_operand_flag_tests")

#: No hand-written SIMD (the compiler vectorises what it can), no threads, no BLAS: numpy's own loops and lapack_lite serve.
_OPTIONS = ["-Dbuildtype=plain", "-Db_ndebug=true", "-Dblas=none", "-Dlapack=none", "-Dallow-noblas=true",
            "-Dcpu-baseline=none", "-Dcpu-dispatch=none", "-Ddisable-optimization=true", "-Ddisable-svml=true",
            "-Ddisable-highway=true", "-Ddisable-intel-sort=true", "-Ddisable-threading=true"]


def numpy(tools: Toolchain, build: BuildTools, cxx: Libcxx, native: CPython, python: CPython) -> Package:
    here = Path(__file__)
    wrapper = here.with_name("compiler_for_meson.py")
    key = digest(here, here.with_name("package.py"), here.with_name("cplusplus.py"), wrapper, tools.key, build.key,
                 cxx.key, native.key, python.key, inputs()["numpy"]["sha256"], *patches("numpy"))

    def make(folder: Path) -> None:
        log, source, made = folder / "build.log", folder / "src", folder / "build"
        source.mkdir()
        subprocess.run(["tar", "xf", fetch("numpy"), "-C", source, "--strip-components=1"], check=True)
        for patch in patches("numpy"):
            run(["patch", "--batch", "--quiet", "-p1", "-i", patch], cwd=source, log=log)
        env = _describe(tools, build, cxx, native, python, wrapper, folder)
        meson = [native.source / "python", source / "vendored-meson/meson/meson.py"]
        run([*meson, "setup", made, source, "--cross-file", folder / "cross.ini", "--prefix", "/usr/local",
             "--python.platlibdir", "/site", "--python.purelibdir", "/site", *_OPTIONS], cwd=folder, log=log, env=env)
        run([build.ninja, jobs(), "-C", made], cwd=folder, log=log, env=env)
        run([*meson, "install", "-C", made, "--no-rebuild", "--quiet", "--destdir", folder / "installed",
             "--tags", "runtime,python-runtime,devel"], cwd=folder, log=log, env=env)
        installed = folder / "installed/site/numpy"
        modules = _archives(tools, made, installed, folder / "lib", log)
        (folder / "modules.txt").write_text("".join(f"{m} PyInit_{m.rpartition('.')[2]}\n" for m in modules))
        shutil.copytree(installed / "_core/include", folder / "include")
        # What Cython reads when another package says `cimport numpy`.
        for declared in [*installed.rglob("*.pxd"), *installed.rglob("__init__.py")]:
            target = folder / "cython/numpy" / declared.relative_to(installed)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(declared, target)
        install_python(installed, folder / "site/numpy", ["tests", "f2py", "distutils", "_pyinstaller", "include",
                                                          "lib/npy-pkg-config", "_examples", "conftest.py"])
        for rest in ("src", "build", "installed"):
            shutil.rmtree(folder / rest)

    return Package(key, step("numpy", key, make), tuple(cxx.link))


def _archives(tools: Toolchain, made: Path, installed: Path, target: Path, log: Path) -> list[str]:
    """One library for each of Meson's targets; returns the names of the extension modules."""
    target.mkdir()
    modules = []
    for folder in sorted(made.rglob("*.p")):
        name = folder.name.removesuffix(".p").removesuffix(".so").removesuffix(".a")
        objects = sorted(folder.rglob("*.o"))
        if not objects or name in _LEFT_OUT or name.startswith(("lib_simd", "lib_umath_tests")):
            continue
        if folder.name.endswith(".so.p"):
            within = folder.parent.relative_to(made)
            modules.append(f"{'.'.join(within.parts)}.{name}")
        run([tools.bin / "llvm-ar", "rcsD", target / f"{name}.a", *objects], cwd=made, log=log, env=tools.env())
    return modules


_CROSS = """\
[binaries]
c = [{driver}, '{bin}/clang', {target}]
cpp = [{driver}, '{bin}/clang++', {target}]
ar = '{bin}/llvm-ar'
strip = 'true'
python = '{python}'
[built-in options]
c_args = {c}
cpp_args = {cpp}
c_link_args = {emulated}
cpp_link_args = {cpp_link}
[host_machine]
system = 'wasi'
cpu_family = 'wasm32'
cpu = 'wasm32'
endian = 'little'
[properties]
longdouble_format = 'IEEE_QUAD_LE'
needs_exe_wrapper = true
"""


def _describe(tools: Toolchain, build: BuildTools, cxx: Libcxx, native: CPython, python: CPython, wrapper: Path,
              folder: Path) -> dict:
    """Write what Meson asks about the guest; returns the environment of its commands."""
    common = [*KERNELS, *LONGS, *EMULATED, "-Wno-int-conversion", f"-ffile-prefix-map={folder}=/davy"]
    (folder / "cross.ini").write_text(_CROSS.format(
        driver=f"'{native.source}/python', '{wrapper}'", bin=tools.bin, folder=folder,
        target=f"'--target=wasm32-wasip1', '--sysroot={tools.root}/usr'", python=native.source / "python",
        c=common, cpp=[*common, *cxx.compile],
        emulated=["-lwasi-emulated-signal", "-lwasi-emulated-getpid", "-lwasi-emulated-process-clocks",
                  "-lwasi-emulated-mman"],
        cpp_link=["-nostdlib++", *cxx.link]))
    cython = folder / "bin/cython"
    cython.parent.mkdir()
    cython.write_text(f'#!/bin/sh\nPYTHONPATH={build.root} exec {native.source}/python {build.root}/cython.py "$@"\n')
    cython.chmod(0o755)
    # The native Python, asked by Meson, answers for the guest's: where its headers lie, what its files are called.
    data = next(python.folder.glob("_sysconfigdata_*.py")).read_text()
    (folder / "sysconfig").mkdir()
    (folder / "sysconfig/_sysconfigdata_davy.py").write_text(
        f"{data}\nbuild_time_vars.update(srcdir='{python.source}', projectbase='{python.source}', "
        f"installed_base='{python.source}/none', EXT_SUFFIX='.so', LIBPYTHON='')\n")
    env = tools.env(_PYTHON_SYSCONFIGDATA_NAME="_sysconfigdata_davy", _PYTHON_HOST_PLATFORM="wasi-wasm32",
                    PYTHONPATH=str(folder / "sysconfig"))
    # Meson takes Cython for a compiler of this machine and looks for it, and for Ninja, here.
    env["PATH"] = f"{cython.parent}:{build.ninja.parent}:{env['PATH']}"
    return env
