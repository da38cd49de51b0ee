"""Links libpython, the C libraries and core/ into one reactor module."""
import subprocess
from pathlib import Path

from .cpython import CPython
from .inittab import inittab
from .package import Package
from .paths import TREE
from .step import digest, run, say, step
from .toolchain import Toolchain
from .version import Version

#: The C stack lies below the data (--stack-first), so running off its end traps
#: instead of overwriting data.  Python's own recursion limit of 1000 fits in it.
_STACK = 8 << 20


def link(version: Version, tools: Toolchain, libs: tuple[str, Path], python: CPython,
         packages: list[Package]) -> Path:
    """The module; with packages the interpreter's object is optimised in a step of its own."""
    if not packages:
        key = digest(Path(__file__), python.key, libs[0], *_core())

        def make(folder: Path) -> None:
            lto = ["-Wl,--lto-O3"] if _is_lto(version) else []
            _link(tools, libs, folder, [*_interpreter(version, python), *lto])

        return step("module", key, make) / "module.wasm"

    core, core_key = _core_object(version, tools, libs, python)
    key = digest(Path(__file__), Path(__file__).with_name("inittab.py"), core_key, [p.key for p in packages])

    def make_with_packages(folder: Path) -> None:
        table = folder / "packages.c"
        table.write_text(inittab(packages))
        # The same library of C++ serves several packages. numpy prints long doubles, which wasi-libc
        # keeps apart for their size.
        parts = dict.fromkeys(part for p in packages for part in p.link)
        _link(tools, libs, folder, [f"-I{python.source}", f"-I{python.source}/Include", table, core, *parts,
                                    "-lc-printscan-long-double", "-lwasi-emulated-pthread"])

    return step("module", key, make_with_packages) / "module.wasm"


def _core() -> list:
    core = sorted((TREE / "core").glob("*.[ch]"))
    return [[p.name for p in core], *core]


def _is_lto(version: Version) -> bool:
    return "-flto" in version.flags


def _interpreter(version: Version, python: CPython) -> list:
    """core/ and libpython, as arguments of the compiler."""
    src = python.source
    return [*(["-flto"] if _is_lto(version) else []), "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
            f"-ffile-prefix-map={TREE}=/davy/recipe", f"-ffile-prefix-map={python.folder}=/davy",
            f'-DPY_MINOR="{version.minor}"', f"-I{src}", f"-I{src}/Include", f"-I{TREE}/core",
            *sorted((TREE / "core").glob("*.c")),
            src / f"libpython{version.minor}.a", src / "Modules/_decimal/libmpdec/libmpdec.a",
            # From 3.12 on hashes are HACL's, with a library of their own for SHA-2.
            src / "Modules/expat/libexpat.a", *sorted((src / "Modules/_hacl").glob("*.a"))]


def _core_object(version: Version, tools: Toolchain, libs: tuple[str, Path], python: CPython) -> tuple[Path, str]:
    """core/ and libpython as one optimised object in which all names are kept for the packages.

    Packages are not part of the link-time optimisation: it takes minutes, and the interpreter's
    flags (its profile above all) are not theirs.
    """
    key = digest(Path(__file__), python.key, libs[0], *_core(), "object")

    def make(folder: Path) -> None:
        # wasm-ld -r crashes on bitcode (LLVM 22); a whole link keeps its optimised object when asked.
        _link(tools, libs, folder, ["-Wl,--lto-O3", "-Wl,--save-temps", "-Wl,--export-all", "-Wl,--no-gc-sections",
                                    "-Wl,--whole-archive", *_interpreter(version, python), "-Wl,--no-whole-archive",
                                    "-Wl,--unresolved-symbols=ignore-all"])
        (folder / "linked.wasm.lto.o").rename(folder / "core.o")
        for rest in [*folder.glob("linked.wasm.*"), folder / "module.wasm"]:
            rest.unlink()

    return step("core-object", key, make) / "core.o", key


def _link(tools: Toolchain, libs: tuple[str, Path], folder: Path, parts: list) -> None:
    linked = folder / "linked.wasm"
    run([*tools.target_cc.split(), "-O3", "-mexec-model=reactor", "-fvisibility=hidden", "-DNDEBUG", *parts,
         f"-L{libs[1]}/lib", "-lz", "-lbz2", "-llzma", "-lsqlite3", "-lm", "-ldl", "-lwasi-emulated-signal",
         "-lwasi-emulated-getpid", "-lwasi-emulated-process-clocks", "-lwasi-emulated-mman",
         f"-Wl,-z,stack-size={_STACK}", "-Wl,--stack-first",
         # core/davy_grants.c stands in for these.
         "-Wl,--wrap=PyErr_SetFromErrnoWithFilenameObject",
         "-Wl,--wrap=PyErr_SetFromErrnoWithFilenameObjects",
         "-Wl,--export=__stack_pointer", "-o", linked],
        cwd=folder, log=folder / "link.log", env=tools.target_env())
    # Two packages each with a function of one name: a shared library would hide its own.
    mismatch = [line for line in (folder / "link.log").read_text().splitlines() if "signature mismatch" in line]
    if mismatch:
        raise SystemExit("guest-python/build: one name, two functions: " + "; ".join(mismatch))
    # Without debug data; the names stay, for readable traps and profiles.
    run([tools.bin / "llvm-objcopy", "--strip-debug", linked, folder / "module.wasm"],
        cwd=folder, log=folder / "link.log", env=tools.env())
    linked.unlink()


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
