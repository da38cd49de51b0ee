"""What cannot exist in a sandbox denies with a sentence instead of crashing.

Modules of this folder stand in for those of the standard library under their usual
names; :func:`install` covers what is built in.  Denials of an outside effect are
PermissionError, as the operating system's would be; a thread that cannot start is
RuntimeError, as in stock Python.
"""

import builtins
import sys
from importlib.machinery import BuiltinImporter


def denied(what, call, remedy):
    """The PermissionError that says what is not granted, what was called, and what to do."""
    return PermissionError(f"{what} is not granted to this sandbox: {call} was called. What to do: {remedy}")


def denying(what, name, remedy):
    """A function which denies whenever it is called."""

    def deny(*args, **kwargs):
        raise denied(what, f"{name}()", remedy)

    deny.__name__ = deny.__qualname__ = name.rpartition(".")[2]
    deny.__doc__ = f"Not granted to a sandbox: {remedy}"
    return deny


PROCESS = "starting a process"
PROCESS_REMEDY = "do the work in Python, or run this job without Davy."
SIGNAL = "signalling a process"

_PROCESS_CALLS = (
    "system popen fork forkpty execl execle execlp execlpe execv execve execvp execvpe spawnl spawnle "
    "spawnlp spawnlpe spawnv spawnve spawnvp spawnvpe posix_spawn posix_spawnp wait wait3 wait4 waitid waitpid"
).split()

#: Imports that fail unless the image has them (their own folders come first), and why.
_ABSENT = {
    **dict.fromkeys(
        "numpy pandas pyarrow scipy sklearn torch tensorflow polars lxml psycopg2 cryptography grpc".split(),
        "this image does not hold this package, which has compiled parts. What to do: run this job without Davy, "
        "or use an image that contains the package",
    ),
    **dict.fromkeys(
        "_ssl _ctypes termios readline curses _curses tkinter _tkinter pty tty syslog".split(),
        "a sandbox has no network, terminal or foreign code, so this image does not contain it",
    ),
}

_IMAGE = "/usr/local/"


class _LinkedModules:
    """Finds the compiled modules of packages: they are built in, under their full names.

    CPython's own finder takes a built-in module for a top-level one.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is not None and name in sys.builtin_module_names:
            return BuiltinImporter.find_spec(name)
        return None


class _AbsentModules:
    """Last on sys.meta_path: adds the reason to the ModuleNotFoundError of a missing module."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        package, _, inside = name.partition(".")
        reason = _ABSENT.get(package)
        if reason and inside and package in sys.modules:
            if not (getattr(sys.modules[package], "__file__", None) or "").startswith(_IMAGE):
                return None  # the job brought it along: davy_native says what it lacks
            reason = f"the {package} of this image does not hold this part"
        # importlib.util.find_spec() must go on answering None: libraries ask with it
        # whether an optional package is there.  Only an import statement gets the error.
        if reason and sys._getframe(2).f_code.co_name == "_find_and_load_unlocked":
            raise ModuleNotFoundError(f"No module named {name!r}: {reason}.", name=name)
        return None


def _no_thread(*args, **kwargs):
    raise RuntimeError(
        "can't start new thread: this sandbox runs one thread. What to do: call the function directly, "
        "and let Spark run partitions in parallel."
    )


def install():
    """Deny what is built in.  Runs once, before any other module of the guest."""
    import _thread
    import os
    import random  # noqa: F401 -- while os.fork is absent: it would register a handler for forks

    for name in _PROCESS_CALLS:
        setattr(os, name, denying(PROCESS, f"os.{name}", PROCESS_REMEDY))
    for name in ("kill", "killpg"):
        setattr(os, name, denying(SIGNAL, f"os.{name}", "raise an exception instead."))
    # WASI has no users; `pwd` beside this file knows the one that these name.
    os.getuid = os.geteuid = os.getgid = os.getegid = lambda: 1000
    os.cpu_count = lambda: 1
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        os.process_cpu_count = os.cpu_count
    import davy_posix

    davy_posix.install()

    # The last is Python 3.13's.
    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        if hasattr(_thread, name):
            setattr(_thread, name, _no_thread)

    # os.register_at_fork stays absent: concurrent.futures would pass it a method that locks
    # have only where a process can fork. Python 3.13's asyncio takes it for granted beside os.fork.
    if sys.version_info >= (3, 13):
        import concurrent.futures.thread  # noqa: F401

        os.register_at_fork = lambda **handlers: None

    # site.py does not run in the guest; stock workers have its builtins.
    import _sitebuiltins

    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.help = _sitebuiltins._Helper()

    sys.meta_path.insert(0, _LinkedModules)
    sys.meta_path.append(_AbsentModules)
