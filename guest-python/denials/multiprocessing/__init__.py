"""multiprocessing's names: what looks around works, what starts a process denies."""

import sys

from davy_denials import PROCESS, denied

_REMEDY = "let Spark run partitions in parallel, or run this job without Davy."


class ProcessError(Exception):
    pass


class BufferTooShort(ProcessError):
    pass


class TimeoutError(ProcessError):
    pass


class AuthenticationError(ProcessError):
    pass


def deny(name):
    """The denial of multiprocessing.<name>()."""
    return denied(PROCESS, f"multiprocessing.{name}()", _REMEDY)


class Process:
    """A process which can be described and not started."""

    exitcode = None
    pid = ident = None

    def __init__(self, group=None, target=None, name=None, args=(), kwargs={}, *, daemon=None):
        self._target, self._args, self._kwargs = target, tuple(args), dict(kwargs)
        self.name = name or type(self).__name__
        self.daemon = bool(daemon)
        self.authkey = b""

    def start(self):
        raise deny("Process.start")

    def run(self):
        if self._target:
            self._target(*self._args, **self._kwargs)

    def is_alive(self):
        return False


_main = Process(name="MainProcess")


def current_process():
    return _main


def parent_process():
    return None


def active_children():
    return []


def cpu_count():
    return 1


def freeze_support():
    pass


def get_start_method(allow_none=False):
    return "spawn"


def get_all_start_methods():
    return ["spawn"]


def set_start_method(method, force=False):
    pass


def get_context(method=None):
    return sys.modules[__name__]


def _denying(name):
    def function(*args, **kwargs):
        raise deny(name)

    function.__name__ = function.__qualname__ = name
    return function


for _name in ("Pool Manager Pipe Queue SimpleQueue JoinableQueue Lock RLock Semaphore BoundedSemaphore Condition "
              "Event Barrier Value Array RawValue RawArray").split():
    globals()[_name] = _denying(_name)
