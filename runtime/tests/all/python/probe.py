"""The worker of the tests of the image's snapshot: tells what a guest can see of how it was started.

What it draws at its top is drawn while the worker is booted.
"""

import builtins
import gc
import io
import json
import logging
import os
import random
import secrets
import sys
import tempfile
import time
import uuid
import warnings

import numpy
import pandas  # noqa: F401 -- for what it imports
import pyarrow.compute  # noqa: F401


def _draw():
    return {
        "random": random.random(),
        "instance": random.Random().random(),
        "system": random.SystemRandom().random(),
        "numpy": float(numpy.random.random()),
        "generator": float(numpy.random.default_rng().random()),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "urandom": os.urandom(8).hex(),
        "secrets": secrets.token_hex(8),
        "name": next(tempfile._get_candidate_names()),
    }


_BOOT = _draw()
# Times, what is drawn, this module's own, and objects that show where they lie.
_OWN = {"logging._startTime", "davy_zone._current", "tempfile._name_sequence", "uuid._last_timestamp", "uuid._node"}


def _plain(value):
    """Whether its text tells all of it, and nothing of where it lies."""
    if isinstance(value, (tuple, list)):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(_plain(k) and _plain(v) for k, v in value.items())
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _globals():
    """Each module's plain values, by their digest."""
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name in (__name__, "sys"):
            continue
        for key, value in sorted(vars(module).items()):
            full = f"{name}.{key}"
            if full not in _OWN and not key.startswith("__warningregistry") and _plain(value):
                text = repr(value)
                found[full] = text if len(text) < 200 else uuid.uuid5(uuid.NAMESPACE_OID, text).hex
    return found


def _descriptors():
    found = []
    for fd in range(64):
        try:
            os.fstat(fd)
            found.append(fd)
        except OSError:
            pass
    return found


def _same():
    return {
        "modules": sorted(sys.modules),
        "globals": _globals(),
        "environ": dict(os.environ),
        "posix": {k.decode(): v.decode() for k, v in sys.modules["posix"].environ.items()},
        "hash": [hash("a string"), hash(b"bytes"), hash(("a", 1, 2.5)), list({"a", "b", "c", "d"})],
        "argv": [sys.argv, sys.orig_argv],
        "path": sys.path,
        "cwd": [os.getcwd(), sorted(os.listdir("."))],
        "flags": repr(sys.flags),
        "limits": [sys.getrecursionlimit(), gc.get_threshold(), sys.getswitchinterval()],
        "finders": [getattr(finder, "__name__", type(finder).__name__) for finder in sys.meta_path],
        "importers": sorted(sys.path_importer_cache),
        "filters": repr(warnings.filters),
        "zone": [time.tzname, time.timezone, time.strftime("%H:%M %Z", time.localtime(0))],
        "files": [sorted(os.listdir("/usr/local")), os.path.exists("/etc/passwd"), _descriptors()],
        "open": repr(io.open) == repr(builtins.open),
        "streams": [sys.stdout.encoding, sys.stdout.line_buffering, sys.stderr.errors],
        "frozen": gc.get_freeze_count() > 100_000,
    }


def main(infile, outfile):
    infile.readline()
    now = time.time()
    answer = {
        "same": _same(),
        "drawn": _draw(),
        "boot": _BOOT,
        "age": {
            "logging": now - (logging._startTime if logging._startTime < 1e12 else logging._startTime / 1e9),
            "file": now - os.stat("/tmp").st_mtime,
        },
    }
    outfile.write(json.dumps(answer).encode())
