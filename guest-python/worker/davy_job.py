"""Job snapshots: what a task's command and broadcasts are loaded to is kept for all later tasks.

Before a command is loaded the host is told its digest. If it knows the command, it starts this task
again in memory in which the command is loaded already, and the task reads its input anew: what was
loaded is then taken instead. If loading was dear, it is asked to make such memory: a guest of its own
reads the same input in the role ``p``, up to where the data begins, and ends there.

State that two tasks cannot share keeps a command from it: see :func:`_why_not`.
"""

import gc
import hashlib
import json
import os
import random
import sys
import time
import types

import _davy
import davy_hooks

# Verbs of the host's gateway.
_ROLE, _FIND, _MAKE, _LOADED, _GO_ON, _COMMAND = 11, 12, 13, 14, 15, 16
SERVE, PREPARE, RESUME = b"s", b"p", b"r"

# Seconds of loading from which on a snapshot saves more than it costs (some hundredths of a second, and
# loading once more), and bytes of broadcasts.
_DEAR = 0.1
_LARGE = 4 << 20
# Bytes of a command that the host looks for in a task's input. It has what is read at once.
_LONGEST = 60 << 10

_hooked = False  # whether this worker's commands can be shared
_role = SERVE
_carried = {}  # the broadcasts of the task's worker before the task: id → path
_last = None  # the command that this guest has loaded last
_kept = None  # in memory of a snapshot: what was loaded


class _Kept:
    """What the guest of a snapshot holds ready."""

    def __init__(self, objects, accumulators, broadcasts):
        self.objects, self.accumulators, self.broadcasts = objects, accumulators, broadcasts


class _Loaded(BaseException):
    """Leaves the worker where the data would begin."""


class _Task:
    """The command of one task, while it is read."""

    def __init__(self):
        self.digest = None  # of the command, once asked
        self.command = b""  # as it is in the input
        self.answer = b"n"
        self.seconds = 0.0  # of loading
        self.depth = 0  # of the functions that read the command
        self.objects = {}  # in the role ``p``: digest of bytes → what they were loaded to, in order
        self.before = None  # in the role ``p``: what loading must not change
        self.modules = frozenset()  # in the role ``p``: what was imported before


_task = _Task()


def install(worker):
    """Hooks the functions with which ``worker`` reads a command."""
    global _hooked
    if worker.__name__ != "pyspark.worker":
        return
    _hooked = True
    for name in ("read_udfs", "read_udtf", "read_command"):
        davy_hooks.wrap("pyspark.worker", name, _reads_command)
    davy_hooks.wrap("pyspark.worker", "read_command", _remembers)
    davy_hooks.wrap("pyspark.worker", "setup_broadcasts", _keeps_broadcasts)


def role():
    """Asks for this guest's role; see ``davy_worker.serve``."""
    global _role, _carried
    answer = _davy.gateway(_ROLE, b"")
    _role, carry = answer[:1], answer[1:]
    _carried = dict(json.loads(carry)) if carry else {}
    if _role == RESUME:
        _fill(_carried)
    return _role


def begin():
    """A task begins."""
    global _task
    _task = _Task()
    if not _hooked:
        _davy.gateway(_GO_ON, b"")


def settle():
    """After the worker's run in the role ``p``: leaves nothing but what is shared."""
    if _kept is None:
        _davy.gateway(_LOADED, b"it fails when it is loaded")
    gc.collect()
    gc.freeze()
    _davy.gateway(_LOADED, b"")
    _clear_free_memory()


def _clear_free_memory():
    """What was freed still holds what was there; zeros are no part of a snapshot. The host allows no growth now."""
    held, size = [], 1 << 30
    while size >= 16 << 10:
        try:
            held.append(bytearray(size))
        except MemoryError:
            size //= 2


def _registry():
    core = sys.modules.get("pyspark.core.broadcast") or sys.modules["pyspark.broadcast"]
    return core._broadcastRegistry, core.Broadcast


def _fill(paths):
    """The broadcasts that the task's worker had before the task, as far as the executor knows."""
    registry, broadcast = _registry()
    registry.clear()
    registry.update({bid: broadcast(path=path) for bid, path in paths.items()})


def _paths():
    """Id and path of each broadcast; None if one is not in a file."""
    registry, _ = _registry()
    paths = {bid: getattr(b, "_path", None) for bid, b in registry.items()}
    return None if None in paths.values() else paths


def _keeps_broadcasts(original):
    def setup_broadcasts(*args, **kwargs):
        global _carried
        if _role == PREPARE:
            _fill(_carried)
        elif _role == SERVE:
            _carried = _paths()
        original(*args, **kwargs)
        if _role == RESUME and _kept is not None:
            registry, _ = _registry()
            for bid, known in _kept.broadcasts.items():
                if bid in registry and registry[bid]._path == known._path:
                    registry[bid] = known

    return setup_broadcasts


def _reads_command(original):
    def read(*args, **kwargs):
        _task.depth += 1
        result = original(*args, **kwargs)
        _task.depth -= 1
        if _task.depth == 0:
            _command_is_read()
        return result

    return read


def _remembers(original):
    def read_command(serializer, *args, **kwargs):
        return original(_Remembering(serializer), *args, **kwargs)

    return read_command


class _Remembering:
    """A serializer that takes what a snapshot holds instead of loading it."""

    def __init__(self, serializer):
        self._serializer = serializer

    def _read_with_length(self, stream):
        # PySpark's own function, which calls this object's `loads`.
        return type(self._serializer)._read_with_length(self, stream)

    def loads(self, data):
        if _task.digest is None:
            _ask(data)
        key = hashlib.sha256(data).digest() if _role != SERVE else None
        if _role == RESUME and _kept is not None and _kept.objects.get(key):
            return _kept.objects[key].pop(0)
        began = time.perf_counter()
        value = self._serializer.loads(data)
        _task.seconds += time.perf_counter() - began
        if _role == PREPARE:
            _task.objects.setdefault(key, []).append(value)
        return value


def _ask(data):
    """Tells the host which command comes. Does not come back if the task starts again from a snapshot."""
    paths = _paths()
    if paths is None or _carried is None:
        _task.digest = b""
        return
    named = json.dumps(sorted(paths.items())).encode()
    _task.digest = hashlib.sha256(len(named).to_bytes(8, "big") + named + data).digest()
    _task.command = data
    if _task.digest == _last:
        return  # this guest has the modules and the broadcasts
    _task.answer = _davy.gateway(_FIND, _task.digest + _carry())
    if _role == PREPARE:
        _task.before, _task.modules = _outside(), frozenset(sys.modules)
    elif _role == RESUME:
        from pyspark.accumulators import _accumulatorRegistry

        _accumulatorRegistry.update(_kept.accumulators)


def _carry():
    return json.dumps(list(_carried.items())).encode()


def _command_is_read():
    global _kept, _last, _role
    if _role == PREPARE:
        _prepare()
        raise _Loaded
    # Loading again what a guest has loaded before is not dear, as a rule.
    _last = _task.digest if _task.seconds < _DEAR else None
    if _role == RESUME:
        # The next task of this guest is one like any other.
        _role, _kept = SERVE, None
        return
    if _task.answer == b"u":
        if _task.seconds >= _DEAR or _size_of_broadcasts() >= _LARGE:
            if len(_task.command) <= _LONGEST:
                _davy.gateway(_COMMAND, bytes(_task.command))
            _davy.gateway(_MAKE, _task.digest + _carry())
    _davy.gateway(_GO_ON, b"")


def _size_of_broadcasts():
    registry, _ = _registry()
    paths = [b._path for b in registry.values() if not hasattr(b, "_value")]
    return sum(os.stat(davy_hooks.admitted(path)).st_size for path in paths)


def _prepare():
    """Loads the broadcasts too, and keeps all if it can be shared."""
    global _kept
    from pyspark.accumulators import _accumulatorRegistry

    registry, _ = _registry()
    for broadcast in registry.values():
        broadcast.value  # noqa: B018 (it is loaded by being asked for)
    sys.stdout.flush()  # what was printed is told of here, not in every task
    sys.stderr.flush()
    why = _why_not(_task.before) or _foreign(sys.modules.keys() - _task.modules)
    if why:
        _davy.gateway(_LOADED, why.encode())
    _kept = _Kept(_task.objects, dict(_accumulatorRegistry), dict(registry))


def _outside():
    """State that a restored guest gets anew, or that must differ from task to task."""
    numpy = sys.modules.get("numpy")
    return {
        "the environment": dict(os.environ),
        "the search path of modules": list(sys.path),
        "the working directory": os.getcwd(),
        "the random numbers of Python": random.getstate(),
        "the random numbers of numpy": numpy and [str(part) for part in numpy.random.get_state()],
    }


def _why_not(before):
    """Why the loaded command cannot be shared; empty if it can."""
    now = _outside()
    for name, value in before.items():
        if now[name] != value:
            return f"it changes {name} while it is loaded"
    numpy = sys.modules.get("numpy")
    generators = (random.Random,)
    if numpy is not None:
        generators += (numpy.random.Generator, numpy.random.BitGenerator, numpy.random.RandomState)
    # What was there before the command is frozen, and not among these.
    for thing in gc.get_objects():
        kind = type(thing)
        if issubclass(kind, generators) and kind is not random.SystemRandom:
            return "it holds a generator of random numbers"
        if kind is types.GeneratorType and thing.gi_suspended:
            return f"it holds a generator that has begun ({thing.__qualname__})"
        if issubclass(kind, _FILES) and not thing.closed:
            return f"it holds an open file ({thing.name})"
    return ""


def _foreign(names):
    """Whether one of these modules is of a folder whose files may change before the next task; empty if not."""
    import pyspark
    from pyspark.core.files import SparkFiles

    archive = os.path.dirname(os.path.dirname(pyspark.__file__))
    fixed = tuple(os.path.join(folder, "") for folder in ("/usr/local", archive, SparkFiles._root_directory))
    for name in sorted(names):
        path = vars(sys.modules[name]).get("__file__")
        if path and not path.startswith(fixed):
            return f"it imports {name} from {path}, which may change"
    return ""


_FILES = (type(sys.__stdout__.buffer.raw),)
