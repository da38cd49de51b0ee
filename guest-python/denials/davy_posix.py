"""What every Linux process has and WASI does not: programs ask without a thought of it.

WASI keeps no modes, owners or masks of files, has no clock of a process's own, no `/dev/null` and the C locale only.
None of that reaches outside of the sandbox, so it is answered here, and not denied.
"""

import _locale
import builtins
import io
import os
import time

NULL = "/dev/null"


class _Null(io.RawIOBase):
    """Linux's null device: reads as empty, takes everything."""

    name = NULL

    def __init__(self, mode):
        self.mode = mode

    def readable(self):
        return "r" in self.mode or "+" in self.mode

    def writable(self):
        return self.mode != "rb"

    def seekable(self):
        return True

    def readinto(self, buffer):
        return 0

    def write(self, data):
        return memoryview(data).nbytes

    def seek(self, offset, whence=0):
        return 0

    def tell(self):
        return 0

    def truncate(self, size=None):
        return 0


def _open_null(mode, encoding, errors, newline):
    raw = _Null(mode.replace("t", "").replace("b", "") + "b")
    if "+" in mode:
        stream = io.BufferedRandom(raw)
    else:
        stream = io.BufferedReader(raw) if raw.readable() else io.BufferedWriter(raw)
    return stream if "b" in mode else io.TextIOWrapper(stream, encoding, errors, newline)


def _is_null(file, mode):
    if type(file) is not str:
        file = os.fspath(file) if isinstance(file, os.PathLike) else None
    return file == NULL and type(mode) is str and set(mode) <= set("rwabt+") and len(set(mode) & set("rwa")) == 1


class _Open:
    """`open()`, which knows the null device. An object, because a function would become a method in a class."""

    __module__, __name__, __qualname__, __doc__ = "io", "open", "open", io.open.__doc__

    def __init__(self, opens):
        self._opens = opens

    def __call__(
        self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None
    ):
        if _is_null(file, mode) and not opener:
            return _open_null(mode, encoding, errors, newline)
        return self._opens(file, mode, buffering, encoding, errors, newline, closefd, opener)

    def __repr__(self):
        return repr(self._opens)

    def __reduce__(self):
        return "open"


def _chmod(path, mode, *, dir_fd=None, follow_symlinks=True):
    """A file has no mode to change here; one that is not there is an error as anywhere."""
    os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)


def _fchmod(fd, mode):
    os.fstat(fd)


_mask = 0o022


def _umask(mask, /):
    global _mask
    before, _mask = _mask, mask & 0o777
    return before


def _times():
    # The one process sleeps only when it waits for the host: its time is the time since its start.
    now = time.monotonic()
    return os.times_result((now, 0.0, 0.0, 0.0, now))


def install():
    os.chmod, os.fchmod, os.umask, os.times = _chmod, _fchmod, _umask, _times
    os.getppid = lambda: 0
    os.getgroups = lambda: [1000]
    os.getlogin = lambda: "davy"
    os.sched_getaffinity = lambda pid: {0}
    # CPython takes the C library's ticks for hundredths of a second; they are nanoseconds.
    time.process_time = time.thread_time = time.monotonic
    time.process_time_ns = time.thread_time_ns = time.monotonic_ns
    io.open = builtins.open = _Open(io.open)
    # As in a stock worker. In WASI's own, C functions that format text take ASCII only.
    _locale.setlocale(_locale.LC_CTYPE, "C.UTF-8")
