"""The recipe key: one digest over everything that decides the image's bytes; and that of its compiled base."""
import hashlib
import os
from pathlib import Path

from .paths import TREE
from .version import Version, version_path

#: The world in which the image's snapshot is made.
_WORLD = TREE.parent / "runtime/src/freeze.rs"
#: Folders of patches/ that only images with compiled packages need.
_SOURCES = ["libcxx", "arrow", "rapidjson", "thrift", "numpy", "pandas", "pyarrow"]
_EVERYONE = ["build", "inputs.toml", "config.site", "recipe", "core", "denials", "worker"]


def recipe_files(version: Version) -> list:
    roots = [TREE / name for name in _EVERYONE]
    roots.append(version_path(version.name))
    roots += [TREE / "patches" / name for name in (version.minor, *(_SOURCES if version.compiled else ()))]
    if version.use_profile:
        roots.append(version.profile_path())
    files = [_WORLD]
    for root in roots:
        files += [root] if root.is_file() else root.rglob("*")
    return sorted(f for f in files if f.is_file() and "__pycache__" not in f.parts and f.suffix != ".pyc"
                  and not f.name.startswith("."))


#: What Davy puts on the compiled base, and how: the base is the same without them.
_ON_TOP = ("worker/", "denials/", "build", "recipe/base.py", "recipe/cli.py", "recipe/freeze.py",
           "recipe/image.py", "recipe/key.py", "../runtime/")


def recipe_key(version: Version) -> str:
    return _digest(recipe_files(version))


def base_key(version: Version) -> str:
    """The digest of what the module and the Python files, but for Davy's own, are made of."""
    return _digest([f for f in recipe_files(version) if not _name(f).startswith(_ON_TOP)])


def _name(path: Path) -> str:
    return os.path.relpath(path, TREE)


def _digest(files: list) -> str:
    h = hashlib.sha256()
    for path in files:
        h.update(f"{_name(path)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return h.hexdigest()
