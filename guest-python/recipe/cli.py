"""The command line of guest-python/build."""
import argparse

from . import step as steps
from .key import recipe_key
from .paths import image_path
from .version import load


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="guest-python/build", description="Build the guest Python image.")
    parser.add_argument("--python", default="3.11", metavar="NAME", help="a file of versions/ (default 3.11)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--key", action="store_true", help="print the recipe key, build nothing")
    what.add_argument("--check", action="store_true", help="prove that the image carries the recipe key")
    what.add_argument("--whole", action="store_true", help="compile all, also what the image of before holds")
    what.add_argument("--train", action="store_true", help="make the optimisation profile anew")
    args = parser.parse_args(argv)
    version = load(args.python)

    if args.key:
        print(recipe_key(version))
        return 0
    if args.check:
        from .image import manifest_of
        carried, wanted = manifest_of(image_path(version.name)).get("recipe"), recipe_key(version)
        if carried != wanted:
            print(f"{image_path(version.name)} was made by recipe {carried}, the tree's is {wanted}: "
                  "run guest-python/build")
            return 1
        print(f"{image_path(version.name)} carries the recipe key {wanted}")
        return 0

    from .toolchain import toolchain
    if args.train:
        from .train import train
        steps.total_steps = 3
        train(version, toolchain())
        return 0

    from .base import base_of, carries_base
    from .cpython import native_python
    from .image import write_image
    from .module import report
    carried = not args.whole and carries_base(version)
    steps.total_steps = 4 if carried else 14 if version.compiled else 7
    tools = toolchain()
    if carried:
        native = native_python(version, tools)
        module, tree = base_of(version)
    else:
        native, module, tree = _compile(version, tools)
    write_image(version, tools, native, module, tree)
    report(module, tools)
    return 0


def _compile(version, tools) -> tuple:
    """The compiled base: a native Python of the version, the module, and the Python files."""
    from .cpython import native_python
    from .libraries import libraries
    from .module import link
    from .tree import standard_tree
    from .wasm import wasm_python
    libs = libraries(tools)
    native = native_python(version, tools)
    python = wasm_python(version, tools, libs, native)
    packages = _packages(version, tools, libs, native, python)
    module = link(version, tools, libs, python, packages)
    return native, module, standard_tree(version, python, native, packages)


def _packages(version, tools, libs, native, python) -> list:
    """The packages with compiled parts, each after those that it needs."""
    if not version.compiled:
        return []
    from .arrow import arrow
    from .buildtools import build_tools
    from .libcxx import libcxx
    from .numpy import numpy
    from .pandas import pandas
    from .pyarrow import pyarrow
    build = build_tools()
    cxx = libcxx(tools, build)
    common = (tools, build, cxx, native, python)
    built = [numpy(*common)]
    if "pandas" in version.compiled:
        built.append(pandas(*common, built[0]))
    if "pyarrow" in version.compiled:
        built.append(pyarrow(*common, built[0], arrow(tools, build, libs, cxx)))
    return built
