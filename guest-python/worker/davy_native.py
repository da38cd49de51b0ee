"""Says why a module compiled for another machine cannot be imported, or is not used.

Without this, ``import`` finds only that there is no such module, although its file lies in plain
sight. The finder stands last on ``sys.meta_path``: it is asked only when all others gave up.
"""

import os
import re
import sys
import zipimport
from importlib import metadata
from importlib.machinery import PathFinder


def _files(entry):
    """Names of the files in one entry of a path: a folder, or a folder inside a zip file."""
    importer = sys.path_importer_cache.get(entry)
    if isinstance(importer, zipimport.zipimporter):
        prefix = importer.prefix
        # From 3.13 on the list is read when it is first asked for.
        files = importer._get_files() if hasattr(importer, "_get_files") else importer._files
        inside = (name[len(prefix) :] for name in files if name.startswith(prefix))
        return [name for name in inside if os.sep not in name]
    try:
        return os.listdir(entry or ".")
    except OSError:
        return []


def _image_has(package):
    """The release of `package` in the image, or None."""
    for found in metadata.distributions(path=[p for p in sys.path if p.startswith("/usr/local/")]):
        if found.metadata["Name"].replace("-", "_").lower() == package.lower():
            return found.version
    return _imported.get(package)


class NativeModules:
    """The finder."""

    @staticmethod
    def find_spec(fullname, path=None, _target=None):
        tail = fullname.rpartition(".")[2]
        compiled = re.compile(re.escape(tail) + r"(\.[\w-]+)*\.(so|pyd|dylib)")
        for entry in sys.path if path is None else path:
            for name in _files(entry):
                if compiled.fullmatch(name):
                    raise ImportError(
                        _sentence(fullname, f"{entry}/{name}"), name=fullname, path=f"{entry}/{name}"
                    )
        return None


def _sentence(module, file):
    package = module.partition(".")[0]
    own = _image_has(package)
    remedy = (
        f"the image has {package} {own} of its own: leave {package} out of what the job brings along"
        if own
        else f"bring a pure-Python release of {package}, or build an image that holds it (docs/packages.md)"
    )
    return (
        f"{module} of the package {package} is machine code for another processor ({file}), which "
        f"cannot run inside the sandbox. What to do: {remedy}."
    )


# The image's packages that are imported before any task, with their releases (None: not known).
_imported = {}
_told = set()


def tell_unused():
    """Says on the log which packages that the job brings along give way to the image's.

    Those are imported already; the compiled ones could not be had from anywhere else.
    """
    entries = [entry for entry in sys.path if not entry.startswith("/usr/local/") and entry not in _told]
    _told.update(entries)
    for entry in entries:
        found = sorted(name for name in _imported if _brings(entry, name))
        if found:
            own = ", ".join(f"{name} {_imported[name] or ''}".rstrip() for name in found)
            print(
                f"Davy: {entry} holds packages that the image has of its own. Its own are used: {own}.",
                file=sys.stderr,
                flush=True,
            )


def _brings(entry, name):
    found = PathFinder.find_spec(name, [entry])
    return found is not None and found.origin is not None


def install():
    """Runs when all that a task finds imported is."""
    for name, module in sys.modules.items():
        file = getattr(module, "__file__", None) or ""
        if "." not in name and file.startswith("/usr/local/") and "/site-packages/" in file:
            _imported[name] = getattr(module, "__version__", None)
    if not any(finder is NativeModules for finder in sys.meta_path):
        sys.meta_path.append(NativeModules)
