"""The cross compiler: clang, lld and wasi-libc unpacked side by side, nothing installed.

Debian splits them over packages which expect to be installed at /.  Unpacked into one
folder they need three fix-ups, each explained where it is made.
"""
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .fetch import fetch, inputs
from .step import clean_env, digest, step

_PACKAGES = ["clang-22", "libclang-cpp22", "libllvm22", "libclang-common-22-dev", "lld-22",
             "llvm-22", "libclang-rt-22-dev", "libclang-rt-22-dev-wasm32", "wasi-libc", "zstd"]


@dataclass(frozen=True)
class Toolchain:
    key: str
    root: Path

    @property
    def bin(self) -> Path:
        return self.root / "usr/lib/llvm-22/bin"

    @property
    def zstd(self) -> Path:
        return self.root / "usr/bin/zstd"

    @property
    def target_cc(self) -> str:
        return f"{self.bin}/clang --target=wasm32-wasip1 --sysroot={self.root}/usr"

    @property
    def host_cc(self) -> str:
        return f"{self.bin}/clang"

    def env(self, **extra: str) -> dict:
        libs = f"{self.root}/usr/lib/llvm-22/lib:{self.root}/usr/lib/x86_64-linux-gnu"
        env = clean_env(LD_LIBRARY_PATH=libs, **extra)
        env["PATH"] = f"{self.bin}:{env['PATH']}"
        return env

    def target_env(self, **extra: str) -> dict:
        b = self.bin
        return self.env(CC=self.target_cc, AR=f"{b}/llvm-ar", RANLIB=f"{b}/llvm-ranlib",
                        NM=f"{b}/llvm-nm", LDSHARED=f"{b}/wasm-ld", PKG_CONFIG_PATH="",
                        PKG_CONFIG_LIBDIR="/nonexistent", **extra)


def toolchain() -> Toolchain:
    pins = inputs()
    key = digest(Path(__file__), [pins[p]["sha256"] for p in _PACKAGES])

    def make(folder: Path) -> None:
        for package in _PACKAGES:
            subprocess.run(["dpkg", "-x", fetch(package), folder], check=True)
        llvm = folder / "usr/lib/llvm-22"
        # clang looks for the builtins in a folder named like the target.
        wasm_rt = llvm / "lib/clang/22/lib/wasm32-unknown-wasip1"
        wasm_rt.mkdir(parents=True)
        os.symlink("../wasi/libclang_rt.builtins-wasm32.a", wasm_rt / "libclang_rt.builtins.a")
        # Debian's clang calls the linker by its versioned name, which lives in /usr/bin.
        os.symlink("lld", llvm / "bin/wasm-ld-22")
        # The package's link to the headers is absolute: /usr/lib/llvm-22/...
        headers = folder / "usr/lib/clang/22"
        if headers.is_symlink():
            headers.unlink()
            os.symlink("../llvm-22/lib/clang/22", headers)
        found = Toolchain("", folder)
        probe = subprocess.run([f"{found.bin}/clang", "--version"], env=found.env(), text=True,
                               capture_output=True)
        if probe.returncode:
            raise SystemExit("guest-python/build: clang does not start here; it needs the libraries that "
                             f"Debian 12 installs with llvm (libz3, libedit, libxml2):\n{probe.stderr}")

    return Toolchain(key, step("toolchain", key, make))
