"""Links libpython, the C libraries and core/ into one reactor module."""
import subprocess
from pathlib import Path

from .cpython import CPython
from .package import Package, inittab
from .paths import TREE
from .step import digest, run, say, step
from .toolchain import Toolchain
from .version import Version

#: The C stack lies below the data (--stack-first), so running off its end traps
#: instead of overwriting data.  Python's own recursion limit of 1000 fits in it.
_STACK = 8 << 20


def link(version: Version, tools: Toolchain, libs: tuple[str, Path], python: CPython,
         packages: list[Package]) -> Path:
    core = sorted((TREE / "core").glob("*.[ch]"))
    key = digest(Path(__file__), python.key, libs[0], [p.name for p in core], *core,
                 [p.key for p in packages])

    def make(folder: Path) -> None:
        src = python.source
        lto = ["-flto"] if "-flto" in version.flags else []
        linked = folder / "linked.wasm"
        # The same library of C++ serves several packages.
        parts = list(dict.fromkeys(lib for p in packages for lib in p.link))
        if packages:
            # numpy prints long doubles, which wasi-libc keeps apart for their size.
            parts = [folder / "packages.c", *parts, "-lc-printscan-long-double", "-lwasi-emulated-pthread"]
            parts[0].write_text(inittab(packages))
        run([*tools.target_cc.split(), "-O3", *lto, "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
             "-mexec-model=reactor", "-fvisibility=hidden", "-DNDEBUG",
             f"-ffile-prefix-map={TREE}=/davy/recipe", f"-ffile-prefix-map={python.folder}=/davy",
             f'-DPY_MINOR="{version.minor}"', f"-I{src}", f"-I{src}/Include", f"-I{TREE}/core",
             *[p for p in core if p.suffix == ".c"], *parts,
             src / f"libpython{version.minor}.a", src / "Modules/_decimal/libmpdec/libmpdec.a",
             src / "Modules/expat/libexpat.a", f"-L{libs[1]}/lib", "-lz", "-lbz2", "-llzma", "-lsqlite3", "-lm",
             "-ldl", "-lwasi-emulated-signal", "-lwasi-emulated-getpid", "-lwasi-emulated-process-clocks",
             "-lwasi-emulated-mman", f"-Wl,-z,stack-size={_STACK}", "-Wl,--stack-first",
             # core/davy_grants.c stands in for these.
             "-Wl,--wrap=PyErr_SetFromErrnoWithFilenameObject",
             "-Wl,--wrap=PyErr_SetFromErrnoWithFilenameObjects",
             "-Wl,--export=__stack_pointer", *(["-Wl,--lto-O3"] if lto else []), "-o", linked],
            cwd=folder, log=folder / "link.log", env=tools.target_env())
        # Without debug data; the names stay, for readable traps and profiles.
        run([tools.bin / "llvm-objcopy", "--strip-debug", linked, folder / "module.wasm"],
            cwd=folder, log=folder / "link.log", env=tools.env())
        linked.unlink()

    return step("module", key, make) / "module.wasm"


def imports(module: Path) -> list[str]:
    """The module's imports as "module.name", read from its import section."""
    data = module.read_bytes()
    at = 8

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    def name() -> str:
        nonlocal at
        size = number()
        at += size
        return data[at - size:at].decode()

    while at < len(data):
        section = number()
        end = number() + at
        if section == 2:
            found = []
            for _ in range(number()):
                found.append(f"{name()}.{name()}")
                kind = number()
                if kind != 0:
                    raise SystemExit(f"guest-python/build: {found[-1]} is not a function import")
                number()
            return found
        at = end
    return []


def report(module: Path, tools: Toolchain) -> None:
    found = imports(module)
    foreign = [i for i in found if i.split(".")[0] not in ("wasi_snapshot_preview1", "davy")]
    if foreign:
        raise SystemExit(f"guest-python/build: the module imports what no host offers: {foreign}")
    say(f"the module has {len(found)} imports: " + " ".join(sorted(found)))
