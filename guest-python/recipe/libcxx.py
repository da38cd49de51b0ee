"""libunwind, libc++abi and libc++ with exceptions.

Debian's libc++ for WASI has neither exceptions nor threads nor a filesystem; Arrow needs all
three to compile. wasi-libc's single-threaded pthread stubs are enough for std::mutex.
"""
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .buildtools import BuildTools
from .cplusplus import EMULATED, EXCEPTIONS, cmake_build
from .fetch import fetch, inputs
from .paths import patches
from .step import digest, run, step
from .toolchain import Toolchain

_TOP = "llvm-toolchain-22_22.1.8"
#: What of LLVM's source the runtimes' build reads.
_PARTS = ["runtimes", "libcxx", "libcxxabi", "libunwind", "cmake", "llvm/cmake", "llvm/utils/llvm-lit",
          "third-party", "libc", "compiler-rt/lib/builtins/wasm"]


@dataclass(frozen=True)
class Libcxx:
    key: str
    root: Path

    @property
    def compile(self) -> list[str]:
        return [*EXCEPTIONS, "-nostdinc++", "-isystem", f"{self.root}/include/c++/v1"]

    @property
    def link(self) -> list[str]:
        return [f"{self.root}/lib/{name}" for name in ("libc++.a", "libc++abi.a", "libunwind.a", "cpp_exception.o")]


def libcxx(tools: Toolchain, build: BuildTools) -> Libcxx:
    key = digest(Path(__file__), Path(__file__).with_name("cplusplus.py"), tools.key, build.key,
                 inputs()["llvm-source"]["sha256"],
                 *patches("libcxx"))

    def make(folder: Path) -> None:
        log, source = folder / "build.log", folder / "src"
        source.mkdir()
        subprocess.run(["tar", "xf", fetch("llvm-source"), "-C", source, "--strip-components=1",
                        "--exclude=*/test/*", *[f"{_TOP}/{part}" for part in _PARTS]], check=True)
        for patch in patches("libcxx"):
            run(["patch", "--batch", "--quiet", "-p1", "-i", patch], cwd=source, log=log)
        flags = [*EXCEPTIONS, *EMULATED, f"-ffile-prefix-map={folder}=/davy"]
        cmake_build(tools, build, source / "runtimes", folder / "build", c=flags, cxx=flags, log=log,
                    targets=["install-cxx", "install-cxxabi", "install-unwind"], options=[
            f"-DCMAKE_INSTALL_PREFIX={folder}", "-DLLVM_ENABLE_RUNTIMES=libunwind;libcxx;libcxxabi",
            "-DCMAKE_C_COMPILER_WORKS=ON", "-DCMAKE_CXX_COMPILER_WORKS=ON", "-DUNIX=1",
            "-DLLVM_INCLUDE_TESTS=OFF", "-DLLVM_INCLUDE_DOCS=OFF",
            "-DLIBCXX_ENABLE_SHARED=OFF", "-DLIBCXX_ENABLE_THREADS=ON", "-DLIBCXX_HAS_PTHREAD_API=ON",
            "-DLIBCXX_ENABLE_EXCEPTIONS=ON", "-DLIBCXX_ENABLE_FILESYSTEM=ON", "-DLIBCXX_HAS_MUSL_LIBC=ON",
            "-DLIBCXX_ABI_VERSION=2", "-DLIBCXX_CXX_ABI=libcxxabi", "-DLIBCXX_ENABLE_TIME_ZONE_DATABASE=OFF",
            "-DLIBCXX_INCLUDE_TESTS=OFF", "-DLIBCXX_INCLUDE_BENCHMARKS=OFF",
            "-DLIBCXXABI_ENABLE_SHARED=OFF", "-DLIBCXXABI_ENABLE_EXCEPTIONS=ON",
            "-DLIBCXXABI_USE_LLVM_UNWINDER=ON", "-DLIBCXXABI_ENABLE_THREADS=ON",
            "-DLIBCXXABI_HAS_PTHREAD_API=ON", "-DLIBCXXABI_SILENT_TERMINATE=ON", "-DLIBCXXABI_INCLUDE_TESTS=OFF",
            "-DLIBUNWIND_ENABLE_SHARED=OFF", "-DLIBUNWIND_ENABLE_THREADS=OFF", "-DLIBUNWIND_USE_COMPILER_RT=ON",
            "-DLIBUNWIND_INCLUDE_TESTS=OFF", "-DLIBUNWIND_HIDE_SYMBOLS=ON",
        ])
        # The tag that every C++ exception is thrown under; the builtins' package lacks it.
        run([*tools.target_cc.split(), *EXCEPTIONS, "-c",
             source / "compiler-rt/lib/builtins/wasm/__cpp_exception.S", "-o", folder / "lib/cpp_exception.o"],
            cwd=folder, log=log, env=tools.target_env())
        shutil.rmtree(source)
        shutil.rmtree(folder / "build")

    return Libcxx(key, step("libcxx", key, make))
