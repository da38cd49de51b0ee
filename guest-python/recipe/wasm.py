"""CPython for WASI: libpython and its modules as static libraries, ready to be linked."""
import lzma
import subprocess
from pathlib import Path

from .cpython import CPython, set_opt, unpack
from .paths import TREE
from .step import digest, jobs, run, step
from .toolchain import Toolchain
from .version import Version


def wasm_python(version: Version, tools: Toolchain, libs: tuple[str, Path], native: CPython) -> CPython:
    """libpython and the static modules for wasm32-wasip1."""
    site = TREE / "config.site"
    profile = version.profile()
    key = digest(Path(__file__), tools.key, libs[0], native.key, site, version.flags, *([profile] if profile else []))

    def make(folder: Path) -> None:
        source, log = unpack(version, folder), folder / "build.log"
        flags = list(version.flags)
        if profile:
            raw = folder / "guest.profdata"
            raw.write_bytes(lzma.decompress(profile.read_bytes()))
            flags += [f"-fprofile-instr-use={raw}", "-Wno-profile-instr-unprofiled",
                      "-Wno-profile-instr-out-of-date", "-Wno-backend-plugin"]
        inc, lib = f"-I{libs[1]}/include", f"-L{libs[1]}/lib"
        env = tools.target_env(
            CONFIG_SITE=str(site), MODULE_BUILDTYPE="static",
            CFLAGS=f"-Wno-int-conversion -D_WASI_EMULATED_MMAN {inc} -ffile-prefix-map={folder}=/davy",
            LDFLAGS=lib, ZLIB_CFLAGS=inc, ZLIB_LIBS=f"{lib} -lz", BZIP2_CFLAGS=inc, BZIP2_LIBS=f"{lib} -lbz2",
            LIBLZMA_CFLAGS=inc, LIBLZMA_LIBS=f"{lib} -llzma", LIBSQLITE3_CFLAGS=inc,
            LIBSQLITE3_LIBS=f"{lib} -lsqlite3 -lm")
        run(["./configure", "--host=wasm32-wasi", "--build=x86_64-pc-linux-gnu",
             f"--with-build-python={native.source}/python", "--prefix=/usr/local", "--with-pymalloc",
             "--disable-test-modules", "--without-ensurepip", "--quiet", *version.configure],
            cwd=source, log=log, env=env)
        set_opt(source, ["-DNDEBUG", "-fwrapv", *flags])
        run(["make", jobs(), f"libpython{version.minor}.a", "Modules/_decimal/libmpdec/libmpdec.a",
             "Modules/expat/libexpat.a"], cwd=source, log=log, env=env)
        # sysconfig's data.  Its rule asks for the finished interpreter, which nobody needs here.
        (source / "python.wasm").touch()
        run(["make", "-o", "python.wasm", "pybuilddir.txt"], cwd=source, log=log, env=env)
        data = next((source / (source / "pybuilddir.txt").read_text().strip()).glob("_sysconfigdata_*.py"))
        text = data.read_text()
        for real, shown in ((folder, "/davy"), (libs[1], "/davy/libs"), (tools.root, "/davy/tools"),
                            (native.folder, "/davy/native"), (TREE, "/davy/recipe")):
            text = text.replace(str(real), shown)
        (folder / data.name).write_text(text)
        subprocess.run("find . -name '*.o' -delete", shell=True, cwd=source, check=True)

    return CPython(key, step("wasm-python", key, make))
