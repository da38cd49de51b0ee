"""Arrow C++ and the libraries it wants: utf8proc, RE2, Snappy, Brotli, LZ4, Zstandard, Thrift, RapidJSON.

Without threads (the guest has one) and without hand-written SIMD. With compute, Acero, CSV, JSON, IPC, Parquet,
dataset and the local file system; without Flight, ORC and encryption.
"""
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .buildtools import BuildTools
from .cplusplus import EMULATED, KERNELS, cmake_build
from .fetch import fetch, inputs
from .libcxx import Libcxx
from .ninja import Plan
from .paths import patches
from .step import digest, run, step
from .toolchain import Toolchain

_SOURCES = ["arrow", "utf8proc", "re2", "lz4", "libzstd", "snappy", "brotli", "thrift"]
_DEBS = ["rapidjson", "unicode-data"]
_RE2_UTIL = ["rune", "strutil"]
_LZ4 = ["lz4", "lz4frame", "lz4hc", "xxhash"]
_SNAPPY = ["snappy", "snappy-sinksource", "snappy-stubs-internal"]
#: Of Thrift what reads and writes Parquet's metadata: the compact protocol in memory.
_THRIFT = ["TApplicationException", "TOutput", "protocol/TProtocol", "transport/TTransportException",
           "transport/TBufferTransports"]
#: What Thrift's CMake would find out. Without <endian.h> it would ask Boost for the order of bytes.
_THRIFT_CONFIG = """\
#pragma once
#define PACKAGE_VERSION "{version}"
#define HAVE_NETINET_IN_H 1
#define HAVE_INTTYPES_H 1
#define HAVE_STDINT_H 1
#define HAVE_STRERROR_R 1
#define SIGNED_RIGHT_SHIFT_IS 1
#define ARITHMETIC_RIGHT_SHIFT 1
#include <endian.h>
"""


@dataclass(frozen=True)
class Arrow:
    key: str
    root: Path

    @property
    def libraries(self) -> list[Path]:
        """In link order: a library comes before those that it uses."""
        names = ["arrow_dataset", "parquet", "arrow_acero", "arrow_compute", "arrow", "thrift", "re2", "utf8proc",
                 "snappy", "brotlienc", "brotlidec", "brotlicommon", "lz4", "zstd"]
        return [self.root / f"lib/lib{name}.a" for name in names]


def arrow(tools: Toolchain, build: BuildTools, libs: tuple[str, Path], cxx: Libcxx) -> Arrow:
    """`libs` has zlib and bzip2: they are linked into the module for Python as well."""
    pins = inputs()
    here = Path(__file__)
    key = digest(here, here.with_name("cplusplus.py"), here.with_name("ninja.py"), tools.key, build.key, libs[0], cxx.key,
                 [pins[n]["sha256"] for n in [*_SOURCES, *_DEBS]], *patches("arrow"),
                 *patches("rapidjson"), *patches("thrift"))

    def make(folder: Path) -> None:
        log, source = folder / "build.log", folder / "src"
        for name in _SOURCES:
            (source / name).mkdir(parents=True)
            subprocess.run(["tar", "xf", fetch(name), "-C", source / name, "--strip-components=1"], check=True)
        for name in _DEBS:
            subprocess.run(["dpkg", "-x", fetch(name), source / name], check=True)
        for name in ("arrow", "rapidjson", "thrift"):
            for patch in patches(name):
                run(["patch", "--batch", "--quiet", "-p1", "-i", patch], cwd=source / name, log=log)
        common = [*KERNELS, "-DNDEBUG", f"-ffile-prefix-map={folder}=/davy"]
        _small_libraries(tools, build, cxx, source, folder, common, log)
        found = {name: folder for name in ("utf8proc", "re2", "LZ4", "lz4", "ZSTD", "Snappy", "BROTLI", "Thrift",
                                        "RapidJSON")}
        cmake_build(
            tools, build, source / "arrow/cpp", folder / "build", log=log, targets=["install"],
            c=[*common, *EMULATED], cxx=[*common, *EMULATED, *cxx.compile, "-DXXH_VECTOR=0"], options=[
                f"-DCMAKE_INSTALL_PREFIX={folder}", f"-DCMAKE_FIND_ROOT_PATH={folder}",
                *[f"-D{name}_ROOT={path}" for name, path in found.items()],
                f"-DZLIB_LIBRARY={libs[1]}/lib/libz.a", f"-DZLIB_INCLUDE_DIR={libs[1]}/include",
                f"-DBZIP2_LIBRARY_RELEASE={libs[1]}/lib/libbz2.a", f"-DBZIP2_INCLUDE_DIR={libs[1]}/include",
                f"-Dxsimd_DIR={folder}/build/none", "-DCMAKE_C_FLAGS_RELEASE=", "-DCMAKE_CXX_FLAGS_RELEASE=",
                "-DARROW_DEPENDENCY_SOURCE=SYSTEM", "-DARROW_BUILD_SHARED=OFF", "-DARROW_BUILD_STATIC=ON",
                "-DARROW_DEPENDENCY_USE_SHARED=OFF",
                "-DARROW_ENABLE_THREADING=OFF", "-DARROW_SIMD_LEVEL=NONE", "-DARROW_RUNTIME_SIMD_LEVEL=NONE",
                "-DARROW_CPU_FLAG=wasm32", "-DARROW_COMPUTE=ON", "-DARROW_ACERO=ON", "-DARROW_CSV=ON",
                "-DARROW_JSON=ON", "-DARROW_IPC=ON", "-DARROW_FILESYSTEM=ON", "-DARROW_DATASET=ON",
                "-DARROW_PARQUET=ON", "-DARROW_WITH_UTF8PROC=ON", "-DARROW_WITH_RE2=ON",
                *[f"-DARROW_WITH_{codec}=ON" for codec in ("SNAPPY", "ZLIB", "BZ2", "BROTLI", "LZ4", "ZSTD")],
                "-DARROW_JEMALLOC=OFF", "-DARROW_MIMALLOC=OFF", "-DARROW_USE_GLOG=OFF",
                "-DARROW_WITH_BACKTRACE=OFF", "-DARROW_BUILD_TESTS=OFF", "-DARROW_BUILD_UTILITIES=OFF",
            ])
        shutil.rmtree(source)
        shutil.rmtree(folder / "build")

    return Arrow(key, step("arrow", key, make))


def _small_libraries(tools: Toolchain, build: BuildTools, cxx: Libcxx, source: Path, folder: Path,
                     common: list[str], log: Path) -> None:
    for name in ("lib", "include/re2", "include/brotli"):
        (folder / name).mkdir(parents=True)
    plan = Plan(tools, build, folder / "small")

    def library(name: str, units: list[Path], flags: list[str], headers: list[Path], into: str = "") -> None:
        plan.archive(folder / f"lib/lib{name}.a", [plan.compile(unit, [*common, *flags]) for unit in units])
        for header in headers:
            shutil.copy(header, folder / "include" / into)

    utf8proc, re2, lz4, zstd = (source / name for name in ("utf8proc", "re2", "lz4/lib", "libzstd/lib"))
    _tables(re2 / "re2", source / "unicode-data/usr/share/unicode")
    library("utf8proc", [utf8proc / "utf8proc.c"], ["-DUTF8PROC_STATIC"], [utf8proc / "utf8proc.h"])
    library("re2", [*sorted((re2 / "re2").glob("*.cc")), *[re2 / f"util/{u}.cc" for u in _RE2_UTIL]],
            [f"-I{re2}", *EMULATED, *cxx.compile], sorted((re2 / "re2").glob("*.h")), "re2")
    library("lz4", [lz4 / f"{u}.c" for u in _LZ4], [], [lz4 / f"{u}.h" for u in ("lz4", "lz4hc", "lz4frame")])
    library("zstd", sorted(u for part in ("common", "compress", "decompress") for u in (zstd / part).glob("*.c")),
            [f"-I{zstd}", "-DZSTD_DISABLE_ASM", "-DXXH_NAMESPACE=ZSTD_"],
            [zstd / "zstd.h", zstd / "zstd_errors.h", zstd / "zdict.h"])
    _snappy_header(source / "snappy")
    library("snappy", [source / f"snappy/{u}.cc" for u in _SNAPPY],
            [*EMULATED, *cxx.compile, "-DHAVE_BUILTIN_CTZ=1", "-DHAVE_BUILTIN_EXPECT=1"],
            sorted((source / "snappy").glob("snappy*.h")))
    brotli = source / "brotli/c"
    for part in ("common", "dec", "enc"):
        library(f"brotli{part}", sorted((brotli / part).glob("*.c")), [f"-I{brotli}/include"],
                sorted((brotli / "include/brotli").glob("*.h")), "brotli")
    thrift = source / "thrift/lib/cpp/src"
    (thrift / "thrift/config.h").write_text(_THRIFT_CONFIG.format(version=inputs()["thrift"]["version"]))
    library("thrift", [thrift / f"thrift/{u}.cpp" for u in _THRIFT], [f"-I{thrift}", *EMULATED, *cxx.compile], [])
    shutil.copytree(thrift / "thrift", folder / "include/thrift", ignore=shutil.ignore_patterns("*.cpp"))
    shutil.copytree(source / "rapidjson/usr/include/rapidjson", folder / "include/rapidjson")
    plan.make(log)
    shutil.rmtree(folder / "small")


def _snappy_header(snappy: Path) -> None:
    """What Snappy's CMake would fill in."""
    text = (snappy / "snappy-stubs-public.h.in").read_text().replace("${HAVE_SYS_UIO_H_01}", "1")
    for part, number in zip(("MAJOR", "MINOR", "PATCH"), inputs()["snappy"]["version"].split("."), strict=True):
        text = text.replace(f"${{PROJECT_VERSION_{part}}}", number)
    (snappy / "snappy-stubs-public.h").write_text(text)


def _tables(re2: Path, unicode: Path) -> None:
    """Debian's source of RE2 comes without the generated tables: make them from Debian's Unicode data."""
    script = re2 / "unicode.py"
    script.write_text(re.sub(r'(?m)^_UNICODE_DIR = .*$', f'_UNICODE_DIR = "{unicode}"', script.read_text())
                      .replace("from six.moves import urllib", "import urllib.request"))
    for name, command in (("unicode_casefold", [sys.executable, "make_unicode_casefold.py"]),
                          ("unicode_groups", [sys.executable, "make_unicode_groups.py"]),
                          ("perl_groups", ["perl", "make_perl_groups.pl"])):
        with (re2 / f"{name}.cc").open("wb") as out:
            subprocess.run(command, cwd=re2, stdout=out, check=True)
