"""Says why a module compiled for another machine cannot be imported.

Without this, ``import`` finds only that there is no such module, although its file lies in plain
sight. The finder stands last on ``sys.meta_path``: it is asked only when all others gave up.
"""

import os
import re
import sys
import zipimport
from importlib import metadata


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
    module = sys.modules.get(package)
    if getattr(module, "__file__", None) and module.__file__.startswith("/usr/local/"):
        return getattr(module, "__version__", None)
    return None


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


def install():
    if not any(finder is NativeModules for finder in sys.meta_path):
        sys.meta_path.append(NativeModules)
