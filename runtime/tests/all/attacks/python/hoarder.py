"""The worker of the tests that look for secrets: hides one wherever Python can, tells what it finds of others',
or draws numbers that no other sandbox may draw.

It is imported before the snapshot is taken, and so is all that it imports.
"""

import atexit
import builtins
import contextlib
import gc
import json
import os
import pickle
import random
import secrets
import stat
import struct
import sys
import tempfile
import time
import uuid
import zlib

import numpy
import pyarrow.compute

_NAME = "hoard"
_SIZES = (16, 32, 48, 200, 512, 4096, 1 << 16, 1 << 20)


def main(infile, outfile):
    order, *words = infile.readline().decode().split()
    answer = {"hide": _hide, "look": _look, "draw": _draw}[order](*words)
    outfile.write(json.dumps(answer).encode() + b"\n")
    outfile.flush()
    end = infile.readline().decode().strip()  # kept alive until then
    if end == "exit":
        os._exit(3)
    while end == "spin":
        answer = [bytes(b) for b in getattr(builtins, _NAME)[:100]]


def _hide(secret):
    secret = bytes.fromhex(secret)
    text = secret.decode("latin-1")
    # Live: in globals, built-ins, modules, the environment, what waits to be written, what runs at the end.
    kept = [bytes(bytearray(secret)) for _ in range(500)] + [text + str(n) for n in range(500)]
    globals()[_NAME] = builtins.hoard = sys.hoard = kept
    sys.modules[_NAME] = type(sys)(text)
    os.environb[_NAME.encode()] = secret
    sys.stdout.write(text)
    atexit.register(len, text)
    random.hoard = numpy.hoard = {text: {text: secret}}
    sys.last_value = ValueError(text)
    gc.callbacks.append(lambda *_, hoard=text: None)
    # Freed again: objects, free lists, arenas, and what came from malloc itself.
    for size in _SIZES:
        for make in (bytes, bytearray, lambda b: numpy.frombuffer(b, "u1").copy(), zlib.compress, pickle.dumps):
            many = [make(secret * (size // 16)) for _ in range(min(64, (1 << 20) // size))]
            del many
    pairs = [complex(*struct.unpack("<dd", secret)) for _ in range(1000)]
    numpy.hoarded = numpy.array(pairs * 100)
    numpy.sort(numpy.tile(numpy.frombuffer(secret, "u8"), 5000)).sum()
    del pairs
    # On the stack of compiled code, far down: paths are copied there.
    _deep(300, secret)
    # Files, open and with something read and written, and one that has no name any more.
    for name in ("kept", "gone"):
        with open(f"/tmp/{name}", "wb") as file:
            file.write(secret * 1000)
        fd = os.open(f"/tmp/{name}", os.O_RDWR)
        os.read(fd, 160)
        os.write(fd, secret)
    os.remove("/tmp/gone")
    builtins.open_hoard = open("/tmp/kept", "r+b")  # noqa: SIM115 - left open
    builtins.open_hoard.write(secret)
    return "hidden"


def _deep(depth, secret):
    if depth:
        return sorted([depth], key=lambda n: _deep(n - 1, secret))
    for _ in range(10):
        with contextlib.suppress(OSError):
            os.stat(b"/tmp/" + secret * 30)
    return None


def _look():
    found = []
    for fd in range(256):
        try:
            kind = stat.S_IFMT(os.fstat(fd).st_mode)
            read = os.pread(fd, 4096, 0).hex() if stat.S_ISREG(kind) else ""
        except OSError as error:
            kind, read = error.errno, ""
        found.append((fd, kind, read))
    scopes = [globals(), vars(builtins), vars(sys), vars(random), vars(numpy), sys.modules]
    names = [name for scope in scopes for name in scope if "hoard" in name and name != __name__]
    builtins.grown = [numpy.empty(32 << 20, "u1"), numpy.empty(4 << 20, "u1")]
    return {
        "descriptors": found,
        "files": os.listdir("/tmp"),
        "environment": sorted(os.environ),
        "names": names,
        "callbacks": len(gc.callbacks),
        "ends": atexit._ncallbacks(),
        "error": hasattr(sys, "last_value"),
        "fresh memory": int(builtins.grown[1].sum()),
    }


def _draw():
    return {
        "same": {"hash": [hash("a"), hash(b"b"), hash("davy")]},
        "clocks": {"time": time.time(), "monotonic": time.monotonic(), "boot": _booted},
        "drawn": {
            "random": random.random(),
            "bits": random.getrandbits(64),
            "own": random.Random().random(),
            "system": random.SystemRandom().random(),
            "numpy": numpy.random.rand(),
            "normal": numpy.random.standard_normal(),
            "generator": numpy.random.default_rng().random(),
            "sequence": str(numpy.random.SeedSequence().entropy),
            "pyarrow": pyarrow.compute.random(1)[0].as_py(),
            "uuid4": str(uuid.uuid4()),
            "uuid1": str(uuid.uuid1()),
            "urandom": os.urandom(16).hex(),
            "secrets": secrets.token_hex(16),
            "file": next(tempfile._get_candidate_names()),
        },
    }


_booted = time.monotonic()
# Every generator has been used before the snapshot, as a module that draws at its import would.
_draw()
