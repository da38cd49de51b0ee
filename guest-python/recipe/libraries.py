"""The C libraries linked into the guest: zlib, bzip2, liblzma, SQLite."""
import subprocess
from pathlib import Path

from .fetch import fetch, inputs
from .step import digest, jobs, run, step
from .toolchain import Toolchain

_NAMES = ["zlib", "bzip2", "xz-utils", "sqlite3"]

_ZLIB = "adler32 compress crc32 deflate infback inffast inflate inftrees trees uncompr zutil".split()
_BZIP2 = "blocksort huffman crctable randtable compress decompress bzlib".split()

#: SQLite for one thread and no shared memory: WASI has neither threads nor mmap nor
#: advisory locks (SQLite itself then picks its "dotfile" locking).
_SQLITE = ["-DSQLITE_THREADSAFE=0", "-DSQLITE_OMIT_LOAD_EXTENSION", "-DSQLITE_OMIT_WAL",
           "-DSQLITE_MAX_MMAP_SIZE=0", "-DSQLITE_ENABLE_FTS5", "-DSQLITE_ENABLE_MATH_FUNCTIONS",
           "-DSQLITE_ENABLE_COLUMN_METADATA", "-DSQLITE_TEMP_STORE=2"]


def libraries(tools: Toolchain) -> tuple[str, Path]:
    pins = inputs()
    key = digest(Path(__file__), tools.key, [pins[n]["sha256"] for n in _NAMES])

    def make(folder: Path) -> None:
        log = folder / "build.log"
        (folder / "lib").mkdir()
        (folder / "include").mkdir()
        sources = {}
        for name in _NAMES:
            sources[name] = folder / "src" / name
            sources[name].mkdir(parents=True)
            subprocess.run(["tar", "xf", fetch(name), "-C", sources[name], "--strip-components=1"], check=True)
        # Paths of the cache must not reach the objects: two machines build the same bytes.
        flags = ["-O2", "-DNDEBUG", f"-ffile-prefix-map={folder}=/davy"]

        def archive(name: str, source: Path, units: list[str], headers: list[str], *extra: str) -> None:
            for unit in units:
                run([*tools.target_cc.split(), *flags, *extra, "-c", f"{unit}.c", "-o", f"{unit}.wasm.o"],
                    cwd=source, log=log, env=tools.target_env())
            run([tools.bin / "llvm-ar", "rcsD", folder / "lib" / f"lib{name}.a", *[f"{u}.wasm.o" for u in units]],
                cwd=source, log=log, env=tools.target_env())
            for header in headers:
                (folder / "include" / header).write_bytes((source / header).read_bytes())

        archive("z", sources["zlib"], _ZLIB, ["zlib.h", "zconf.h"])
        archive("bz2", sources["bzip2"], _BZIP2, ["bzlib.h"])

        xz = sources["xz-utils"]
        run(["./configure", "--host=wasm32-wasi", f"--prefix={folder}", "--disable-threads", "--disable-shared",
             "--disable-xz", "--disable-xzdec", "--disable-lzmadec", "--disable-lzmainfo", "--disable-scripts",
             "--disable-lzma-links", "--disable-doc", "--disable-nls", "--quiet"],
            cwd=xz, log=log, env=tools.target_env(CFLAGS=" ".join(flags)))
        run(["make", jobs(), "-C", "src/liblzma", "install"], cwd=xz, log=log, env=tools.target_env())

        # SQLite's single C file is written by tclsh and the host's compiler.
        sqlite = sources["sqlite3"]
        run(["./configure", "--disable-tcl", "--disable-readline", "--quiet"], cwd=sqlite, log=log, env=tools.env())
        run(["make", "sqlite3.c", "sqlite3.h"], cwd=sqlite, log=log, env=tools.env())
        archive("sqlite3", sqlite, ["sqlite3"], ["sqlite3.h"], *_SQLITE)
        subprocess.run(["rm", "-rf", folder / "src", folder / "share"], check=True)

    return key, step("libraries", key, make)
