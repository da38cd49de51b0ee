"""How C++ is compiled for the guest, and how CMake is told.

Exceptions are WebAssembly's own, in the form that became the standard (exnref): wasmtime refuses
the older one.
"""
import sys
from pathlib import Path

from .buildtools import BuildTools
from .step import jobs, run
from .toolchain import Toolchain

EXCEPTIONS = ["-fwasm-exceptions", "-mllvm", "-wasm-use-legacy-eh=false"]
#: wasi-libc declares these families only on request; each has a library of its own at link time.
EMULATED = ["-D_WASI_EMULATED_SIGNAL", "-D_WASI_EMULATED_PROCESS_CLOCKS", "-D_WASI_EMULATED_GETPID",
            "-D_WASI_EMULATED_MMAN", "-D_WASI_EMULATED_PTHREAD"]

#: How the packages' kernels are compiled. The interpreter itself is not: see versions/3.11.toml.
#: A float that int64 cannot hold becomes its least value, as on x86-64, and not its nearest.
KERNELS = ["-O2", "-msimd128", "-mno-nontrapping-fptoint"]
#: `long long` serves as `long` does elsewhere, with the same errors (core/davy_long.c).
LONGS = ["-DPyLong_AsLongLong=davy_as_long", "-DPyLong_AsUnsignedLongLong=davy_as_unsigned_long"]

_TOOLCHAIN = """\
set(CMAKE_SYSTEM_NAME WASI)
set(CMAKE_SYSTEM_VERSION 1)
set(CMAKE_SYSTEM_PROCESSOR wasm32)
set(CMAKE_C_COMPILER {bin}/clang)
set(CMAKE_CXX_COMPILER {bin}/clang++)
set(CMAKE_AR {bin}/llvm-ar)
set(CMAKE_RANLIB {bin}/llvm-ranlib)
set(CMAKE_C_COMPILER_TARGET wasm32-wasip1)
set(CMAKE_CXX_COMPILER_TARGET wasm32-wasip1)
set(CMAKE_SYSROOT {root}/usr)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
"""


def cmake_build(tools: Toolchain, build: BuildTools, source: Path, folder: Path, *, c: list[str], cxx: list[str],
                options: list[str], targets: list[str], log: Path) -> None:
    """Configure `source` in `folder` for the guest and build `targets`."""
    folder.mkdir(parents=True)
    toolchain = folder / "toolchain.cmake"
    toolchain.write_text(_TOOLCHAIN.format(bin=tools.bin, root=tools.root))
    env = tools.env()
    # CC and its kin would win over the toolchain file; tools.env() sets none of them.
    run([build.cmake, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={build.ninja}", "-S", source, "-B", folder,
         f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", "-DCMAKE_BUILD_TYPE=Release",
         f"-DPython3_EXECUTABLE={sys.executable}",
         f"-DCMAKE_C_FLAGS={' '.join(c)}", f"-DCMAKE_CXX_FLAGS={' '.join(cxx)}", *options],
        cwd=folder, log=log, env=env)
    run([build.ninja, jobs(), *targets], cwd=folder, log=log, env=env)
