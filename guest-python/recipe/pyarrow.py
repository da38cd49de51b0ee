"""pyarrow: the C++ bridge between Arrow and Python, and its Cython modules, compiled one by one."""
import re
import shutil
import subprocess
from pathlib import Path

from .arrow import Arrow
from .buildtools import BuildTools
from .cplusplus import EMULATED, KERNELS, LONGS
from .cpython import CPython
from .fetch import fetch, inputs
from .libcxx import Libcxx
from .ninja import Plan, cython_command
from .package import Package, install_python
from .paths import patches
from .step import digest, run, step
from .toolchain import Toolchain

_MODULES = ["lib", "_acero", "_compute", "_csv", "_dataset", "_dataset_parquet", "_feather", "_fs", "_json", "_parquet"]
#: Parts of the bridge for what this Arrow lacks.
_NO_BRIDGE = {"flight", "parquet_encryption"}


def pyarrow(tools: Toolchain, build: BuildTools, cxx: Libcxx, native: CPython, python: CPython, numpy: Package,
            arrow: Arrow) -> Package:
    here = Path(__file__)
    key = digest(here, here.with_name("package.py"), here.with_name("cplusplus.py"), here.with_name("ninja.py"),
                 tools.key, build.key, cxx.key, native.key, python.key, numpy.declarations_key,
                 arrow.key, *patches("pyarrow"))

    def make(folder: Path) -> None:
        log, source = folder / "build.log", folder / "src"
        source.mkdir()
        subprocess.run(["tar", "xf", fetch("arrow"), "-C", source, "--strip-components=2", "--wildcards",
                        "apache-arrow-*/python"], check=True)
        for patch in patches("pyarrow"):
            run(["patch", "--batch", "--quiet", "-p1", "-i", patch], cwd=source, log=log)
        top, bridge = source / "pyarrow", source / "pyarrow/src/arrow/python"
        _configure(bridge)
        common = [*KERNELS, *LONGS, "-DNDEBUG", "-w", "-std=c++20", "-fno-strict-aliasing", *EMULATED, *cxx.compile,
                  f"-ffile-prefix-map={folder}=/davy", f"-ffile-prefix-map={arrow.root}=/davy", "-DARROW_STATIC",
                  "-DARROW_PYTHON_STATIC", "-DARROW_COMPUTE_STATIC", "-DARROW_ACERO_STATIC", "-DARROW_DS_STATIC",
                  "-DPARQUET_STATIC", "-DXXH_VECTOR=0",
                  "-DNPY_NO_DEPRECATED_API=NPY_1_7_API_VERSION",
                  f"-I{top}/src", f"-I{top}", f"-I{arrow.root}/include", f"-I{numpy.root}/include",
                  f"-I{python.source}/Include", f"-I{python.source}"]
        plan = Plan(tools, build, folder / "build", cython_command(build, native))
        # Cython writes the paths of declarations into what it makes: those of numpy's folder have its key in them.
        declarations = shutil.copytree(numpy.root / "cython", source / "numpy-declarations")
        modules, generated = [], {}
        for name in _MODULES:
            generated[name] = plan.cython(top / f"{name}.pyx", top / f"{name}.cpp", [
                "--cplus", "-3", "--no-c-in-traceback", f"-I{source}", f"-I{declarations}"])
        for name in _MODULES:
            module = f"pyarrow.{name}"
            function = "PyInit_" + module.replace(".", "_")
            modules.append(f"{module} {function}\n")
            flags = [*common, f"-DPyInit_{name}={function}"]
            plan.archive(folder / f"lib/{module}.a", [plan.compile(generated[name], flags, [generated["lib"]])])
        # pyarrow.cc includes headers that Cython writes beside lib.cpp.
        for header in ("lib.h", "lib_api.h"):
            (bridge / header).write_text(f'#include "../../../{header}"\n')
        plan.archive(folder / "lib/arrow_python.a", [
            plan.compile(unit, common, [generated["lib"]]) for unit in sorted(bridge.glob("*.cc"))
            if unit.stem not in _NO_BRIDGE])
        (folder / "lib").mkdir()
        plan.make(log)
        (folder / "modules.txt").write_text("".join(modules))
        install_python(top, folder / "site/pyarrow", ["tests", "conftest.py", "src", "includes", "flight.py",
                                                      "cuda.py", "jvm.py", "cffi.py"])
        (folder / "site/pyarrow/_generated_version.py").write_text(
            f'version = __version__ = "{inputs()["arrow"]["version"]}"\n')
        for rest in ("src", "build"):
            shutil.rmtree(folder / rest)

    return Package(key, step("pyarrow", key, make), (*arrow.libraries, *cxx.link))


def _configure(bridge: Path) -> None:
    """What CMake would fill in."""
    template = (bridge / "config_internal.h.cmake").read_text()
    (bridge / "config_internal.h").write_text(re.sub(r"@\w+@", "RELEASE", template))
