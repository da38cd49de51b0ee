"""The guest's worker: runs Spark's own Python worker over Davy's channel.

The host calls :func:`prepare` when the image is built and keeps the memory in the image; where that
does not serve, right before what follows. It calls :func:`boot` once, may take a snapshot of memory,
and then calls :func:`serve` in each sandbox that starts from it. Both read the session document, JSON:

``worker`` module to run (``pyspark.worker``), ``sys_path`` list of guest paths, ``env`` mapping,
``cwd`` guest path or null, ``environment`` guest path of the job's virtual environment or null,
``localtime`` the host's ``/etc/localtime`` in base64 or null, ``memory_setting`` the setting behind
the memory limit, ``reuse`` whether to serve more than one task, ``buffer_size`` bytes.
"""

import sys

_started = frozenset(sys.modules)  # with Python itself: what is imported from here on, a job's own module may replace

import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import pkgutil
import time
import zipimport

import _davy
import davy_columns
import davy_environment
import davy_hooks
import davy_job
import davy_native
import davy_pandas
import davy_values
import davy_zone


class _Input(io.RawIOBase):
    """The channel from the host; reading waits for at least one byte."""

    def readable(self):
        return True

    def readinto(self, buffer):
        return _davy.channel_read_into(buffer)


class _Output(io.RawIOBase):
    """The channel to the host; writing waits for room."""

    def writable(self):
        return True

    def write(self, data):
        return _davy.channel_write(data)


def _session():
    return json.loads(_davy.session())


def _apply(session):
    """Makes interpreter state follow the session document. Runs again after a restore."""
    os.environ.clear()
    os.environ.update(session["env"])
    davy_zone.follow(session.get("localtime"))
    davy_hooks.memory_setting = session.get("memory_setting", davy_hooks.memory_setting)
    cwd = session.get("cwd") or "/tmp"
    # Index 0 is the working directory, as for `python -m`: Spark inserts added files at index 1.
    path = [cwd, *session["sys_path"], *_image_path]
    if sys.path != path:
        sys.path[:] = path
    try:
        os.chdir(cwd)
    except OSError:
        os.chdir("/usr/local")  # no such directory was granted; the image's own always is


_image_path = []

# What Spark's worker and the packages of ``_SCIENCE`` import of the standard library, but for what is
# Spark's version's own. Nothing of it looks at a session's environment, clock or files while it is imported.
_STANDARD = """
    _strptime array ast atexit base64 binascii bisect bz2 cProfile calendar cmath collections.abc
    concurrent.futures contextvars copy csv ctypes dataclasses datetime decimal dis enum faulthandler fcntl
    filecmp fnmatch gc grp gzip hashlib heapq hmac importlib.readers importlib.resources inspect ipaddress
    itertools json linecache locale logging lzma math mmap numbers operator pathlib pickle pkgutil platform
    pprint profile pstats pwd pydoc queue random reprlib secrets select selectors shlex shutil signal socket
    socketserver string struct subprocess tarfile tempfile textwrap threading tokenize traceback types
    typing unicodedata urllib.parse uuid warnings weakref zipfile zlib zoneinfo
""".split()
_prepared = frozenset()  # those of them, and of what the worker needs itself, that a job's own module may replace


def prepare():
    """Imports what no session has a say in. Its memory is on every machine: nothing secret is drawn here."""
    global _prepared
    # CPython lowers its default to 600 on WASI; the guest's stack holds the usual depth.
    sys.setrecursionlimit(1000)
    _image_path[:] = sys.path
    own = _started.union(sys.builtin_module_names, (name for name in sys.modules if name.startswith("davy_")))
    for name in _STANDARD:
        with contextlib.suppress(ImportError):  # not in each version of Python
            importlib.import_module(name)
    _prepared = frozenset(name for name in sys.modules if name not in own and "." not in name)
    gc.collect()


def boot():
    """Imports the worker module. No user code runs here."""
    _reseed()
    # From which the age of its records counts: the time of an import.
    sys.modules["logging"]._startTime = time.time_ns() if sys.version_info >= (3, 13) else time.time()
    session = _session()
    _apply(session)
    _forget_shadowed()
    worker = importlib.import_module(session["worker"])
    _preload()
    davy_hooks.install(worker)
    davy_columns.install()
    davy_values.install()
    davy_pandas.install()
    davy_native.install()
    davy_job.install(worker)
    gc.collect()
    gc.freeze()  # what every sandbox shares is not walked by each collection


def _forget_shadowed():
    """A module of the job's own that is named as a standard one stands before it, as in stock."""
    for entry in sys.path[: -len(_image_path)]:
        importer = pkgutil.get_importer(entry)
        if isinstance(importer, zipimport.zipimporter):
            names = _prepared
        else:
            try:
                names = _prepared.intersection(name.partition(".")[0] for name in os.listdir(entry))
            except OSError:
                continue
        for name in names:
            spec = importer and importer.find_spec(name)
            if spec and spec.loader:
                for known in list(sys.modules):
                    if known == name or known.startswith(name + "."):
                        del sys.modules[known]


# What Spark's worker imports when a task has Arrow data; imported here, every snapshot holds it.
_SCIENCE = (
    "numpy",
    "pandas",
    "pyarrow",
    "pyarrow.compute",
    "pyspark.sql.conversion",
    "pyspark.sql.pandas.serializers",
    "pyspark.sql.pandas.typehints",
    "pyspark.sql.pandas.types",
    "pyspark.sql.streaming.stateful_processor_api_client",
)


def _preload():
    """Imports what the image and this Spark have of ``_SCIENCE``."""
    if "pyspark" in sys.modules and importlib.util.find_spec("pyarrow"):
        for name in _SCIENCE:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def _reseed():
    """Sandboxes started from one snapshot must not draw the same numbers."""
    random = sys.modules.get("random")
    if random is not None:
        random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = None


def serve():
    """Serves tasks until the end of input. Returns the exit code."""
    session = _session()
    _davy.reset_preopens()
    _apply(session)
    davy_environment.use(session.get("environment"))
    _reseed()
    module = importlib.import_module(session["worker"])
    size = max(session.get("buffer_size") or 65536, 4096)
    infile = io.BufferedReader(_Input(), size)
    if davy_job.role() == davy_job.PREPARE:
        return _prepare(module, infile)
    outfile = io.BufferedWriter(_Output(), size)
    while True:
        code = 0
        try:
            if not infile.peek(1):
                return 0
            davy_columns.begin(infile, outfile)
            davy_job.begin()
            module.main(infile, outfile)
        except SystemExit as e:
            code = _exit_code(e.code)
        finally:
            _flush(outfile)
        if code or not session.get("reuse"):
            return code
        gc.collect()


def _prepare(module, infile):
    """Loads a task's command for a snapshot; the host's input ends where the task had come to."""
    with contextlib.suppress(SystemExit):
        module.main(infile, io.BytesIO())
    davy_job.settle()
    return 0


def _exit_code(code):
    if code is None:
        return 0
    return code if isinstance(code, int) else 1


def _flush(outfile):
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        outfile.flush()
    except BrokenPipeError:
        pass  # the task was over before all of its output was wanted
