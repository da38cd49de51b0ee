"""The virtual environment that a job brings along in an archive and names as its Python.

Its interpreter is machine code and stays unused; its packages stand where its own Python would have
them: before the image's, behind the standard library.
"""

import os
import sys

_IMAGE = "%d.%d" % sys.version_info[:2]
_wrong = None  # what to tell the task, if the packages are another Python's


def use(home):
    """Puts the packages of the environment at ``home`` (None: there is none) on the path."""
    global _wrong
    _wrong = None
    if not home:
        return
    packages = f"{home}/lib/python{_IMAGE}/site-packages"
    if not os.path.isdir(packages):
        _wrong = _other_version(home)
        return
    import site  # its main() has not run and does not: the image has its path already

    ours = [entry for entry in sys.path if entry.startswith("/usr/local/") and entry.endswith("/site-packages")]
    sys.path[:] = [entry for entry in sys.path if entry not in ours]
    site.addsitedir(packages)  # with what its .pth files add
    sys.path += ours


def check():
    """Raises what is wrong with the environment; within a task, where an exception is told."""
    if _wrong:
        from pyspark.errors import PySparkRuntimeError

        raise PySparkRuntimeError(_wrong)


def _other_version(home):
    try:
        found = sorted(name[6:] for name in os.listdir(f"{home}/lib") if name.startswith("python3."))
    except OSError:
        found = []
    if not found:
        return None
    return (
        f"[PYTHON_VERSION_MISMATCH] The environment {home} holds packages for Python {found[-1]}, and Davy's "
        f"image holds Python {_IMAGE}. What to do: pack an environment of Python {_IMAGE}, or set "
        f"spark.davy.image to an image built for Python {found[-1]}."
    )
