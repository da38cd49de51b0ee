"""pandas: Cython modules, compiled one by one. Its Meson build would ask a numpy that runs here."""
import subprocess
from pathlib import Path

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

_JSON = [f"src/vendored/ujson/{f}.c" for f in ("python/ujson", "python/objToJSON", "python/JSONtoObj",
                                               "lib/ultrajsonenc", "lib/ultrajsondec")]
_DATETIME = [f"src/vendored/numpy/datetime/{f}.c" for f in ("np_datetime", "np_datetime_strings")]
_TOKENIZER = "src/parser/tokenizer.c"

#: C files of modules, as pandas/_libs/meson.build lists them; without a .pyx the module is all C. A file that
#: several modules share stands with one of them: all of them meet in one module in the end.
_C_SOURCES = {
    "lib": [_TOKENIZER],
    "parsers": ["src/parser/io.c"],
    "pandas_parser": ["src/parser/pd_parser.c"],
    "pandas_datetime": [*_DATETIME, "src/datetime/date_conversions.c", "src/datetime/pd_datetime.c"],
    "json": _JSON,
}
#: Names that numpy's own copy of these files has too. In shared libraries the two do not meet.
_ALSO_NUMPYS = ["add_minutes_to_datetimestruct", "get_datetimestruct_days", "is_leapyear"]
#: The same, but elsewhere the name is a macro over a table of functions.
_ALSO_NUMPYS_HERE = {"pandas_datetime": ["-Dget_datetime_metadata_from_dtype=pandas_datetime_metadata_from_dtype"]}
_CPLUSPLUS = {"window/aggregations"}


def pandas(tools: Toolchain, build: BuildTools, cxx: Libcxx, native: CPython, python: CPython,
           numpy: Package) -> Package:
    here = Path(__file__)
    key = digest(here, here.with_name("package.py"), here.with_name("cplusplus.py"), here.with_name("ninja.py"),
                 tools.key, build.key, cxx.key, native.key, python.key, numpy.declarations_key,
                 inputs()["pandas"]["sha256"], *patches("pandas"))

    def make(folder: Path) -> None:
        log, source = folder / "build.log", folder / "src"
        source.mkdir()
        subprocess.run(["tar", "xf", fetch("pandas"), "-C", source, "--strip-components=1"], check=True)
        for patch in patches("pandas"):
            run(["patch", "--batch", "--quiet", "-p1", "-i", patch], cwd=source, log=log)
        libs = source / "pandas/_libs"
        interpreter = tools.env(PYTHONPATH=str(build.root))
        for template in sorted(libs.rglob("*.pxi.in")):
            run([native.source / "python", source / "generate_pxi.py", template, "-o", template.parent],
                cwd=source, log=log, env=interpreter)

        common = [*KERNELS, *LONGS, "-DNDEBUG", "-w", "-fno-strict-aliasing", *EMULATED, f"-ffile-prefix-map={folder}=/davy",
                  *[f"-D{name}=pandas_{name}" for name in _ALSO_NUMPYS], "-DNPY_NO_DEPRECATED_API=0",
                  "-DNPY_TARGET_VERSION=NPY_1_21_API_VERSION",
                  f"-I{numpy.root}/include", f"-I{libs}/include", f"-I{libs}", f"-I{python.source}/Include",
                  f"-I{python.source}"]
        plan = Plan(tools, build, folder / "build", cython_command(build, native))
        modules = []
        for name in sorted({*_C_SOURCES, *(str(p.relative_to(libs).with_suffix("")) for p in libs.rglob("*.pyx"))}):
            module = f"pandas._libs.{name.replace('/', '.')}"
            function = "PyInit_" + module.replace(".", "_")
            modules.append(f"{module} {function}\n")
            # `lib` is also a module of pyarrow, `json` one of the standard library.
            flags = [*common, f"-DPyInit_{name.rpartition('/')[2]}={function}"]
            renamed = _ALSO_NUMPYS_HERE.get(name, [])
            objects = [plan.compile(libs / unit, [*flags, *renamed]) for unit in _C_SOURCES.get(name, [])]
            pyx = libs / f"{name}.pyx"
            if pyx.is_file():
                plus = name in _CPLUSPLUS
                generated = pyx.with_suffix(".cpp" if plus else ".c")
                plan.cython(pyx, generated, ["-X", "always_allow_keywords=true", f"-I{numpy.root}/cython",
                                             f"-I{pyx.parent}", *(["--cplus"] if plus else [])])
                objects.append(plan.compile(generated, [*flags, *(cxx.compile if plus else [])]))
            plan.archive(folder / f"lib/{module}.a", objects)
        (folder / "lib").mkdir()
        plan.make(log)
        (folder / "modules.txt").write_text("".join(modules))
        install_python(source / "pandas", folder / "site/pandas", ["tests", "conftest.py", "src", "include"])
        (folder / "site/pandas/_version_meson.py").write_text((source / "_version_meson.py").read_text())
        subprocess.run(["rm", "-rf", source, folder / "build"], check=True)

    return Package(key, step("pandas", key, make), tuple(cxx.link))
