"""The guest's worker: runs Spark's own Python worker over Davy's channel.

The host calls :func:`boot` once, may take a snapshot of memory, and then calls :func:`serve` in
each sandbox that starts from it. Both read the session document, JSON:

``worker`` module to run (``pyspark.worker``), ``sys_path`` list of guest paths, ``env`` mapping,
``cwd`` guest path or null, ``environment`` guest path of the job's virtual environment or null,
``localtime`` the host's ``/etc/localtime`` in base64 or null, ``memory_setting`` the setting behind
the memory limit, ``reuse`` whether to serve more than one task, ``buffer_size`` bytes.
"""

import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import sys

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


def boot():
    """Imports the worker module. No user code runs here."""
    # CPython lowers its default to 600 on WASI; the guest's stack holds the usual depth.
    sys.setrecursionlimit(1000)
    _image_path[:] = sys.path
    session = _session()
    _apply(session)
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
