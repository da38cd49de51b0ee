"""What must differ from stock PySpark inside a sandbox, and only that.

Each hook replaces one function that reaches outside the process; the rest of PySpark runs as it
is. Names bound by ``from … import`` before the hook are rebound in every loaded module.
"""

import dis
import importlib
import opcode
import os
import sys
import types
import zipimport

import _davy
import davy_callback
import davy_environment
import davy_hash
import davy_native

# Verbs of the host's gateway.
_ADMIT = 1
_MEMORY = 2

# Settings that stock serves with files and threads a sandbox does not have; the host itself
# reports a crash, with its cause.
_UNSERVED = ("PYTHON_FAULTHANDLER_DIR", "PYTHON_TRACEBACK_DUMP_INTERVAL_SECONDS")


# The Spark setting behind the sandbox's memory limit.
memory_setting = "spark.davy.memory"


def install(worker):
    """Hooks the PySpark modules that ``worker`` has imported."""
    for name in _UNSERVED:
        os.environ.pop(name, None)
    _reread_only_changed_archives()
    if "pyspark" not in sys.modules:
        return
    _rebind("pyspark.util", "local_connect_and_auth", _connect)
    wrap("pyspark.worker_util", "check_python_version", _explain_version)
    wrap("pyspark.worker_util", "setup_spark_files", _tell_unused)
    wrap("pyspark.util", "handle_worker_exception", _tell)
    _evaluate_in_turn(worker)
    state = sys.modules.get("pyspark.sql.streaming.stateful_processor_api_client")
    if state is not None:
        state.socket = davy_callback.sockets
    for module in ("pyspark.core.rdd", "pyspark.rdd"):
        _rebind(module, "portable_hash", davy_hash.portable_hash)
    broadcast = sys.modules.get("pyspark.core.broadcast") or sys.modules.get("pyspark.broadcast")
    if broadcast is not None:
        _admit_broadcasts(broadcast.Broadcast)


def _reread_only_changed_archives():
    """Each command makes importlib forget what it knows of paths, for files added since.

    CPython then reads the directory of every zip file again, once for each package inside: a third
    of a second for `pyspark.zip`, which does not change.
    """
    original = zipimport.zipimporter.invalidate_caches
    seen = {}

    def invalidate_caches(self):
        try:
            found = os.stat(self.archive)
            state = found.st_mtime_ns, found.st_size
        except OSError:
            state = None
        known = zipimport._zip_directory_cache.get(self.archive)
        if state is None or known is None or seen.get(self.archive) != state:
            original(self)
            seen[self.archive] = state
        else:
            self._files = known

    zipimport.zipimporter.invalidate_caches = invalidate_caches
    importlib.invalidate_caches()  # what was read so far is as it is now


def _rebind(module, name, replacement):
    original = getattr(sys.modules.get(module), name, None)
    if original is None:
        return
    for loaded in list(sys.modules.values()):
        if getattr(loaded, "__dict__", {}).get(name) is original:
            setattr(loaded, name, replacement)


def wrap(module, name, wrapper):
    """Puts ``wrapper(original)`` in the place of a function, wherever it is bound."""
    original = getattr(sys.modules.get(module), name, None)
    if original is not None:
        _rebind(module, name, wrapper(original))


def _connect(conn_info, auth_secret):
    """Stands for PySpark's connection to its executor: a Unix socket, or a port and a secret."""
    what = {
        "setup_broadcasts": "an encrypted broadcast",
        "_load_from_socket": "a barrier task's barrier() or allGather()",
    }.get(sys._getframe(1).f_code.co_name, "a call back to the executor")
    by_name = isinstance(conn_info, str) and auth_secret is None
    address = conn_info if by_name else ("localhost", conn_info)
    stream, callback = davy_callback.connect(address, int(os.environ.get("SPARK_BUFFER_SIZE", 65536)), what)
    if not by_name:
        sys.modules["pyspark.util"]._do_server_auth(stream, auth_secret)
    return stream, callback


# What 32-bit pointers cannot serve is refused inside the guest: the host was not asked, and has met no limit.
_PIECE = (
    "limit exceeded: memory: less than 2.0 GiB allowed in one piece inside a sandbox, more asked. Give the task less "
    "data at once (more partitions, smaller batches)"
)

# How Python and numpy say the same of a size that they cannot even ask for.
_BEYOND = (
    "cannot fit 'int' into an index-sized integer",
    "repeated bytes are too long",
    "repeated string is too long",
    "array is too big; `arr.size * arr.dtype.itemsize`",
    "Maximum allowed dimension exceeded",
)


def _beyond_32_bits(e):
    """Whether an allocation made this error, and not a ``raise`` statement."""
    beyond = type(e) in (ValueError, OverflowError) and e.args and str(e.args[0]).startswith(_BEYOND)
    if not beyond and not isinstance(e, MemoryError):
        return False
    tb = e.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None or tb.tb_lasti < 0:
        # Compiled code shows frames that never ran: they stand at their first instruction, or before it.
        return True
    return tb.tb_frame.f_code.co_code[tb.tb_lasti] not in _RAISE and not _parses(tb)


def _parses(tb):
    """Whether source is compiled there: of what is nested too deeply Python's parser makes a MemoryError, too."""
    code = tb.tb_frame.f_code
    if code.co_code[tb.tb_lasti] == opcode.opmap["IMPORT_NAME"]:
        return True
    there = (i.argval for i in dis.get_instructions(code) if i.positions and i.positions.lineno == tb.tb_lineno)
    return not _COMPILE.isdisjoint(name for name in there if isinstance(name, str))


_COMPILE = {"compile", "eval", "exec"}
_RAISE = {opcode.opmap["RAISE_VARARGS"], opcode.opmap["RERAISE"]}


def _tell(original):
    def handle_worker_exception(e, *args, **kwargs):
        _drop_own_frames(e)
        met = _davy.gateway(_MEMORY, b"").decode() if isinstance(e, MemoryError) else ""
        if met:
            e.add_note(f"{met}. Give the task less data (more partitions), or raise {memory_setting}")
        elif _beyond_32_bits(e):
            e.add_note(_PIECE)
        return original(e, *args, **kwargs)

    return handle_worker_exception


# Where PySpark's own functions are called from where it expects to call them itself.
_OWN = tuple(
    os.path.join(os.path.dirname(__file__), name)
    for name in ("davy_columns.py", "davy_job.py", "davy_pandas.py", "davy_values.py", "denials/davy_posix.py")
)


def _drop_own_frames(e):
    """Leaves a traceback as stock's: without the frames of the functions that stand before PySpark's."""
    left, seen = [e], set()
    while left:
        e = left.pop()
        if e is None or id(e) in seen:
            continue
        seen.add(id(e))
        frames, tb = [], e.__traceback__
        while tb is not None:
            frames.append(tb)
            tb = tb.tb_next
        if any(tb.tb_frame.f_code.co_filename in _OWN for tb in frames):
            rest = None
            for tb in reversed(frames):
                if tb.tb_frame.f_code.co_filename not in _OWN:
                    rest = types.TracebackType(rest, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
            e.__traceback__ = rest
        left += [e.__cause__, e.__context__]


def _tell_unused(original):
    def setup_spark_files(*args):
        original(*args)
        davy_native.tell_unused()

    return setup_spark_files


# How many threads evaluate the rows of a plain function; a sandbox has one.
_CONCURRENCY = "spark.sql.execution.pythonUDF.arrow.concurrency.level"


def _evaluate_in_turn(worker):
    """The results are the same: stock's threads give them in the rows' order."""
    conf = getattr(worker, "RunnerConf", None)
    if hasattr(conf, "arrow_concurrency_level"):
        conf.arrow_concurrency_level = -1

    def wrapper(original):
        def without_threads(*args):
            return original(*({k: v for k, v in a.items() if k != _CONCURRENCY} if type(a) is dict else a for a in args))

        return without_threads

    # Up to Spark 4.1 these look into a dictionary.
    for name in [name for name in vars(worker) if name.startswith("wrap_arrow_batch_udf")]:
        wrap(worker.__name__, name, wrapper)


def _explain_version(original):
    from pyspark.errors import PySparkRuntimeError

    def check_python_version(source):
        try:
            original(source)
        except PySparkRuntimeError as error:
            versions = error.getMessageParameters() or {}
            image = "%d.%d" % sys.version_info[:2]
            driver = versions.get("driver_version", "another version")
            raise PySparkRuntimeError(
                f"[PYTHON_VERSION_MISMATCH] Davy's image holds Python {image} and the driver runs "
                f"Python {driver}: their byte code differs. What to do: run the driver with Python "
                f"{image}, or set spark.davy.image to an image built for Python {driver}."
            ) from None
        davy_environment.check()

    return check_python_version


def _admit_broadcasts(cls):
    original = cls.load_from_path

    def load_from_path(self, path):
        return original(self, admitted(path))

    cls.load_from_path = load_from_path


def admitted(path):
    """The guest path of a host file that the executor announced to this task."""
    if os.path.exists(path):
        return path
    try:
        return _davy.gateway(_ADMIT, path.encode()).decode()
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
