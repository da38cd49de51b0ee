"""What the guest promises, checked inside the guest: one JSON line per case.

Run it as a session with "worker": "guest_suite" (main(infile, outfile) reads one line:
the prefix of the cases to run, empty for all).  Lines: {"case", "ok", "detail"}, then
{"passed", "failed"}.  Cases are of three tables: DENIALS (an expression, the error's type
and a part of its sentence), VALUES (an expression and its value) and FEATURES (functions
that assert).
"""

import json
import sys
import traceback

LIB = "/usr/local/lib/python%d.%d" % sys.version_info[:2]
PERMISSION, RUNTIME, MISSING = PermissionError, RuntimeError, ModuleNotFoundError

NET = "network access is not granted to this sandbox: socket."
PROC = "starting a process is not granted to this sandbox: "
CODE = "calling foreign code is not granted to this sandbox: ctypes."
THREAD = "can't start new thread: this sandbox runs one thread"

DENIALS = [
    # statements before the call, the call, the error, a part of its sentence
    ("import socket", "socket.socket()", PERMISSION, NET + "socket() was called. What to do: "),
    ("import socket", "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)", PERMISSION, NET + "socket()"),
    ("import socket", "socket.create_connection(('example.org', 80), 1)", PERMISSION, NET + "getaddrinfo()"),
    ("import socket", "socket.getaddrinfo('example.org', 80)", PERMISSION, NET),
    ("import socket", "socket.gethostbyname('example.org')", PERMISSION, NET),
    ("import socket", "socket.socketpair()", PERMISSION, NET),
    ("import socket", "socket.create_server(('', 0))", PERMISSION, NET),
    ("import urllib.request", "urllib.request.urlopen('http://example.org/')", OSError, NET),
    ("import http.client", "http.client.HTTPConnection('example.org').request('GET', '/')", PERMISSION, NET),
    ("import smtplib", "smtplib.SMTP('example.org')", PERMISSION, NET),
    ("", "__import__('ssl')", MISSING, "No module named '_ssl': a sandbox has no network"),
    ("import subprocess", "subprocess.Popen(['ls'])", PERMISSION, PROC + "subprocess.Popen() was called"),
    ("import subprocess", "subprocess.run(['ls'], check=True)", PERMISSION, PROC + "subprocess.run()"),
    ("import subprocess", "subprocess.call('ls', shell=True)", PERMISSION, PROC + "subprocess.call()"),
    ("import subprocess", "subprocess.check_call(['ls'])", PERMISSION, PROC),
    ("import subprocess", "subprocess.check_output(['ls'])", PERMISSION, PROC + "subprocess.check_output()"),
    ("import subprocess", "subprocess.getoutput('ls')", PERMISSION, PROC),
    ("import os", "os.system('ls')", PERMISSION, PROC + "os.system()"),
    ("import os", "os.popen('ls')", PERMISSION, PROC + "os.popen()"),
    ("import os", "os.fork()", PERMISSION, PROC + "os.fork()"),
    ("import os", "os.execv('/bin/ls', ['ls'])", PERMISSION, PROC + "os.execv()"),
    ("import os", "os.execvpe('ls', ['ls'], {})", PERMISSION, PROC),
    ("import os", "os.spawnl(0, '/bin/ls', 'ls')", PERMISSION, PROC),
    ("import os", "os.posix_spawn('/bin/ls', ['ls'], {})", PERMISSION, PROC),
    ("import os", "os.kill(1, 9)", PERMISSION, "signalling a process is not granted to this sandbox: os.kill()"),
    ("import multiprocessing", "multiprocessing.Process(target=print).start()", PERMISSION, PROC),
    ("import multiprocessing", "multiprocessing.Pool(2)", PERMISSION, PROC + "multiprocessing.Pool()"),
    ("import multiprocessing", "multiprocessing.Queue()", PERMISSION, PROC),
    ("from multiprocessing.pool import Pool", "Pool()", PERMISSION, PROC),
    ("from multiprocessing.pool import ThreadPool", "ThreadPool(2)", RUNTIME, THREAD),
    ("from multiprocessing import shared_memory", "shared_memory.SharedMemory('x')", PERMISSION, PROC),
    ("import concurrent.futures as f", "f.ProcessPoolExecutor(1).submit(print)", PERMISSION, PROC),
    ("import concurrent.futures as f", "f.ThreadPoolExecutor(1).submit(print)", RUNTIME, THREAD),
    ("import threading", "threading.Thread(target=print).start()", RUNTIME, THREAD),
    ("import threading", "threading.Timer(0, print).start()", RUNTIME, THREAD),
    ("import _thread", "_thread.start_new_thread(print, ())", RUNTIME, THREAD),
    ("import ctypes", "ctypes.CDLL('libc.so.6')", PERMISSION, CODE + "CDLL()"),
    ("import ctypes", "ctypes.cdll.LoadLibrary('libc.so.6')", PERMISSION, CODE + "cdll.LoadLibrary()"),
    ("import ctypes", "ctypes.pythonapi.PyErr_SetString", PERMISSION, CODE + "pythonapi."),
    ("import ctypes", "ctypes.cast(0, ctypes.c_void_p)", PERMISSION, CODE),
    ("import ctypes", "ctypes.string_at(0, 10)", PERMISSION, CODE),
    ("import ctypes", "ctypes.Structure()", PERMISSION, CODE),
    ("import fcntl", "fcntl.flock(0, fcntl.LOCK_EX)", PERMISSION, "control of open files is not granted"),
    ("import mmap", "mmap.mmap(-1, 100)", PERMISSION, "mapping files into memory is not granted"),
    ("", "__import__('scipy')", MISSING, "No module named 'scipy': this image does not hold this package"),
    ("", "__import__('torch')", MISSING, "No module named 'torch': "),
    ("", "__import__('pyarrow.orc')", MISSING, "No module named 'pyarrow._orc': the pyarrow of this image does not hold this part"),
    ("", "__import__('resource')", MISSING, "No module named 'resource'"),
    ("", "__import__('curses')", MISSING, "No module named 'curses': "),
    ("", "__import__('readline')", MISSING, "No module named 'readline': "),
    ("", "__import__('termios')", MISSING, "No module named 'termios': "),
    ("", "__import__('no_such_module')", MISSING, "No module named 'no_such_module'"),
    ("", "open('/usr/local/lib/written', 'w')", OSError, ""),
    ("", "open('/etc/passwd')", OSError, ""),
    ("import os", "os.remove('/usr/local/lib/no-such-file')", FileNotFoundError, "No such file or directory"),
    ("import os", f"os.remove('{LIB}/os.py')", PermissionError, "Operation not permitted"),
    ("", "open('/usr/local/../../etc/passwd')", OSError, ""),
]

VALUES = [
    ("import socket", "socket.gethostname()", "davy"),
    ("import socket", "socket.inet_aton('10.1.2.3')", b"\x0a\x01\x02\x03"),
    ("import socket", "socket.htons(1)", 256),
    ("import socket", "socket.AF_INET.name", "AF_INET"),
    ("import socket", "socket.inet_ntop(socket.AF_INET6, bytes(15) + b'\\1')", "::1"),
    ("import os", "os.path.expanduser('~/x')", "/tmp/x"),
    ("import getpass", "getpass.getuser()", "davy"),
    ("import pwd, grp, os", "(pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name)", ("davy", "davy")),
    ("import os, multiprocessing", "(os.cpu_count(), multiprocessing.cpu_count())", (1, 1)),
    ("import ctypes", "[ctypes.sizeof(t) for t in (ctypes.c_byte, ctypes.c_short, ctypes.c_int, ctypes.c_long,"
     " ctypes.c_longlong, ctypes.c_float, ctypes.c_double, ctypes.c_size_t, ctypes.c_void_p)]",
     [1, 2, 4, 8, 8, 4, 8, 8, 8]),
    ("import ctypes", "(ctypes.c_byte(200).value, ctypes.c_ubyte(-1).value, ctypes.c_long(2**63).value)",
     (-56, 255, -(2**63))),
    ("import ctypes.util", "ctypes.util.find_library('c')", None),
    ("import importlib.util", "importlib.util.find_spec('scipy')", None),
    ("import array", "[array.array(c).itemsize for c in 'bhilqfd']", [1, 2, 4, 4, 8, 4, 8]),
    ("import logging", "logging.getLogger('x').makeRecord('x', 20, 'f', 1, 'm', (), None).processName", "MainProcess"),
    ("import threading", "(threading.current_thread().name, threading.active_count())", ("MainThread", 1)),
    ("from decimal import Decimal, getcontext", "(getcontext().prec, str(Decimal(1) / 7))",
     (28, "0.1428571428571428571428571429")),
    ("import decimal", "decimal.Decimal.__module__, decimal.HAVE_CONTEXTVAR", ("decimal", True)),
    ("import zlib", "zlib.decompress(zlib.compress(b'davy' * 100, 9)) == b'davy' * 100", True),
    ("import bz2", "bz2.decompress(bz2.compress(b'davy' * 100)) == b'davy' * 100", True),
    ("import lzma", "lzma.decompress(lzma.compress(b'davy' * 100)) == b'davy' * 100", True),
    ("import gzip", "gzip.decompress(gzip.compress(b'davy'))", b"davy"),
    ("import hashlib", "hashlib.sha256(b'davy').hexdigest()[:12]", "5ad3b0408f11"),
    ("import hashlib", "(hashlib.md5(b'').hexdigest()[:8], hashlib.blake2b(b'').hexdigest()[:8])",
     ("d41d8cd9", "786a02f7")),
    ("import hmac", "hmac.new(b'k', b'm', 'sha256').hexdigest()[:8]", "b60090e3"),
    ("from xml.etree import ElementTree as E", "E.fromstring('<a b=\"1\"><c/></a>').get('b')", "1"),
    ("from datetime import datetime; from zoneinfo import ZoneInfo",
     "datetime(2024, 7, 1, tzinfo=ZoneInfo('Europe/Berlin')).utcoffset().seconds", 7200),
    ("import dateutil.parser", "dateutil.parser.parse('3 May 2021 10:00').isoformat()", "2021-05-03T10:00:00"),
    ("import six, packaging.version, typing_extensions", "str(packaging.version.Version('1.0'))", "1.0"),
    ("import sysconfig", "sysconfig.get_config_var('SIZEOF_LONG')", 4),
    ("import sys", "(sys.int_info.bits_per_digit, sys.maxsize, sys.byteorder)", (30, 2**31 - 1, "little")),
    ("import sys", "(sys.getrecursionlimit(), sys.flags.isolated, sys.dont_write_bytecode)", (1000, 1, True)),
    ("import sys", "(sys.stdout.encoding, sys.stdout.line_buffering, sys.getfilesystemencoding())", ("utf-8", True, "utf-8")),
    ("import json, textwrap", "json.__file__", f"{LIB}/json/__init__.py"),
    ("import json", "json.__cached__", f"{LIB}/json/__pycache__/__init__.{sys.implementation.cache_tag}.pyc"),
    ("import json", "json.dumps.__code__.co_filename", f"{LIB}/json/__init__.py"),
    ("import locale", f"(locale.getpreferredencoding(False), open('{LIB}/os.py').encoding)", ("utf-8", "utf-8")),
    ("import os", "(open(os.devnull, 'w').write('x'), open(os.devnull).read(), open(os.devnull, 'rb').read())", (1, "", b"")),
    ("import io, os", "io.open is open and type('T', (), {'open': open})().open(os.devnull, 'a').write('xy')", 2),
    ("import shutil; open('/tmp/m', 'w').write('1')", "(shutil.copy('/tmp/m', '/tmp/n'), shutil.copy2('/tmp/m', '/tmp/n'))",
     ("/tmp/n", "/tmp/n")),
    ("import os; os.mkdir('/tmp/slash')", "(os.rmdir('/tmp/slash' + '/'), os.path.exists('/tmp/slash'))", (None, False)),
    ("import os", "(os.umask(0o77), os.umask(0o22))", (0o22, 0o77)),
    ("import os, time; a, b = time.process_time(), os.times().user",
     "(0 <= time.process_time() - a < 60, 0 <= os.times().user - b < 60, time.thread_time() > 0)", (True, True, True)),
    ("import os", "(os.getppid(), os.getgroups(), os.getlogin(), os.sched_getaffinity(0))", (0, [1000], "davy", {0})),
    ("import pathlib; open('/tmp/o', 'w')", "(pathlib.Path('/tmp/o').owner(), pathlib.Path('/tmp/o').group())", ("root", "root")),
    ("import pathlib", "pathlib.Path('/no/such/file').exists()", False),
    ("import locale", "(locale.setlocale(locale.LC_CTYPE), locale.setlocale(locale.LC_NUMERIC))", ("C.UTF-8", "C")),
    ("import dateutil.tz", "repr(dateutil.tz.gettz('Europe/Paris'))", "tzfile('/usr/share/zoneinfo/Europe/Paris')"),
    ("import dateutil.tz; from datetime import datetime",
     "datetime(2026, 7, 1, tzinfo=dateutil.tz.gettz('America/New_York')).utcoffset().total_seconds()", -14400.0),
    ("import unicodedata", "unicodedata.normalize('NFC', 'e\\u0301')", "é"),
    ("import codecs", "'äö'.encode('shift_jis', 'replace'), 'ab'.encode('utf-16-le')", (b"??", b"a\x00b\x00")),
    ("import signal", "(signal.SIGINT.name, int(signal.SIGTERM))", ("SIGINT", 15)),
    ("import faulthandler", "faulthandler.is_enabled()", False),
    ("", "callable(exit) and callable(quit) and callable(help)", True),
    ("import _davy", "_davy.reset_preopens()", None),
    ("import select, time", "select.select([], [], [], 0.001)", ([], [], [])),
    ("import uuid", "len(str(uuid.uuid4()))", 36),
    ("import math, cmath, statistics", "(math.gcd(12, 18), math.isclose(math.gamma(5), 24), statistics.mean([1, 2]))", (6, True, 1.5)),
]

#: Modules that libraries import and never call must import, and so must all that is linked in.
IMPORTS = (
    "asyncio concurrent.futures concurrent.futures.process ctypes ctypes.util fcntl ftplib getpass grp http.client "
    "http.server logging.handlers mmap multiprocessing multiprocessing.connection multiprocessing.context "
    "multiprocessing.managers multiprocessing.pool multiprocessing.process multiprocessing.queues "
    "multiprocessing.shared_memory multiprocessing.synchronize multiprocessing.util platform pwd select selectors "
    "shutil signal socket socketserver sqlite3 subprocess tempfile threading urllib.request uuid webbrowser "
    "xml.dom.minidom xmlrpc.client zipfile tarfile inspect dis ast pdb cProfile unittest doctest timeit optparse"
).split()


def feature_sqlite():
    import sqlite3

    db = sqlite3.connect(":memory:")
    db.execute("create table t(a integer, b text)")
    db.executemany("insert into t values (?, ?)", [(i, str(i)) for i in range(1000)])
    assert db.execute("select sum(a), count(distinct b) from t where a % 2").fetchone() == (250000, 500)
    assert sqlite3.sqlite_version_info >= (3, 46)


def feature_sqlite_file():
    import sqlite3
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        db = sqlite3.connect(folder + "/a.db")
        with db:
            db.execute("create table t(a)")
            db.execute("insert into t values (7)")
        db.close()
        assert sqlite3.connect(folder + "/a.db").execute("select a from t").fetchall() == [(7,)]


def feature_temporary_files():
    import os
    import shutil
    import tempfile

    with tempfile.NamedTemporaryFile("w+", suffix=".txt") as file:
        file.write("line\n" * 1000)
        file.seek(0)
        assert len(file.readlines()) == 1000
    folder = tempfile.mkdtemp()
    os.makedirs(folder + "/a/b")
    with open(folder + "/a/b/c", "w") as file:
        file.write("x")
    os.rename(folder + "/a/b/c", folder + "/a/d")
    assert sorted(os.listdir(folder + "/a")) == ["b", "d"]
    assert [n for _, _, names in os.walk(folder) for n in names] == ["d"]
    assert os.stat(folder + "/a/d").st_size == 1
    shutil.rmtree(folder)
    assert not os.path.exists(folder)


def feature_recursion_900():
    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    assert down(900) == 900


def feature_recursion_error():
    def down(n):
        return down(n + 1)

    _expect(RecursionError, lambda: down(0))

    class Loop:
        def __getattr__(self, name):
            return getattr(self, name + "x")

        def __repr__(self):
            return repr(self)

        def __eq__(self, other):
            return self == other

    _expect(RecursionError, lambda: Loop().missing)
    _expect(RecursionError, lambda: repr(Loop()))
    _expect(RecursionError, lambda: Loop() == 1)


def feature_recursion_raised_limit():
    import sys

    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    old = sys.getrecursionlimit()
    sys.setrecursionlimit(20000)  # frames of pure Python calls do not use the C stack
    try:
        assert down(15000) == 15000
    finally:
        sys.setrecursionlimit(old)


def feature_recursion_in_c():
    import copy
    import functools
    import pickle

    nested = []
    for _ in range(100_000):
        nested = [nested]
    for attempt in (repr, json.dumps, pickle.dumps, copy.deepcopy, lambda x: x == copy.copy(x) and x < x):
        try:
            attempt(nested)
        except RecursionError:
            pass
    _expect(RecursionError, lambda: json.loads("[" * 100_000 + "]" * 100_000))
    while nested:  # freed level by level, whatever the trashcan does
        nested = nested.pop()

    def key_calls(depth):
        return sorted([1, 2], key=lambda _: key_calls(depth + 1))

    _expect(RecursionError, lambda: key_calls(0))

    @functools.lru_cache(None)
    def cached(n):
        return cached(n + 1)

    _expect(RecursionError, lambda: cached(0))


def feature_recursion_in_the_compiler():
    for source in ("(" * 150 + ")" * 150, "-" * 3000 + "1", "+".join(["1"] * 5000), "x" + ".y" * 3000):
        try:
            compile(source, "deep", "eval")
        except (RecursionError, MemoryError, SyntaxError):
            pass


def feature_deep_regex():
    import re

    assert re.match(r"(?:a|b)*?c", "ab" * 50_000 + "c")
    try:
        re.compile("(" * 500 + ")" * 500)
    except (RecursionError, re.error):
        pass


def feature_nested_deallocation():
    class Node:
        def __init__(self, next):
            self.next = next

    head = None
    for _ in range(200_000):
        head = Node(head)
    del head


def feature_memory_error():
    _expect(MemoryError, lambda: [bytearray(2_100_000_000) for _ in range(2)])
    _expect((MemoryError, OverflowError), lambda: bytes(1 << 40))
    _expect(MemoryError, lambda: [0] * (1 << 29))
    blocks = []
    try:
        while True:
            blocks.append(bytearray(128 << 20))
    except MemoryError:
        blocks.clear()
    assert len(bytes(1 << 20)) == 1 << 20  # and the interpreter goes on


def feature_random_is_seeded():
    import os
    import random

    assert os.urandom(16) != os.urandom(16)
    assert random.Random(1).random() == 0.13436424411240122


def feature_warnings_and_traceback():
    import linecache

    try:
        json.loads("{")
    except ValueError:
        text = traceback.format_exc()
    assert f'{LIB}/json/decoder.py", line' in text, text
    assert linecache.getline(json.__file__, 1)


def feature_asyncio_coroutines():
    """Coroutines can be driven; an event loop needs a socket pair and denies."""
    import asyncio

    async def work():
        return 3

    _expect(PermissionError, lambda: asyncio.run(_closed(work)))


async def _closed(work):
    return await work()


def feature_gateway_refusal():
    import _davy

    _expect(OSError, lambda: _davy.gateway(9999, b""))


def feature_big_json_and_pickle():
    import pickle

    data = [{"i": i, "s": "é" * 10, "f": i / 3} for i in range(50_000)]
    assert json.loads(json.dumps(data)) == data
    assert pickle.loads(pickle.dumps(data)) == data


def feature_time():
    import time

    begun = time.monotonic()
    time.sleep(0.01)
    assert 0.009 < time.monotonic() - begun < 5
    assert time.time() > 1.7e9
    assert time.strftime("%Z") and time.localtime(0).tm_year == 1970


def feature_exit_codes():
    _expect(SystemExit, lambda: exit(3))


def _expect(error, call):
    try:
        result = call()
    except error:
        return
    raise AssertionError(f"expected {error}, got the result {result!r:.80}")


def _run(prepare, expression):
    names = {}
    exec(prepare, names)
    return eval(expression, names)


def _check_denial(prepare, expression, error, part):
    try:
        result = _run(prepare, expression)
    except error as caught:
        assert part in str(caught), f"{type(caught).__name__}: {caught}"
        return f"{type(caught).__name__}: {caught}"
    raise AssertionError(f"nothing was raised; the result is {result!r:.80}")


def _check_value(prepare, expression, expected):
    result = _run(prepare, expression)
    assert result == expected, f"{result!r} is not {expected!r}"


def cases():
    """(name, function) of every case."""
    import importlib

    for row in DENIALS:
        yield f"denial {row[1]}" + (f" [{row[0]}]" if "Pool()" == row[1] else ""), lambda row=row: _check_denial(*row)
    for row in VALUES:
        yield f"value {row[1]}", lambda row=row: _check_value(*row)
    for name in [*IMPORTS, *sorted(set(sys.builtin_module_names) - set(IMPORTS))]:
        yield f"import {name}", lambda name=name: importlib.import_module(name) and None
    for name, function in list(globals().items()):
        if name.startswith("feature_"):
            yield name.replace("_", " ", 1), function


def main(infile, outfile):
    prefix = infile.readline().decode().strip()
    passed = failed = 0
    for name, check in cases():
        if not name.startswith(prefix):
            continue
        try:
            detail, ok = check(), True
            passed += 1
        except Exception:
            detail, ok = traceback.format_exc(limit=-3), False
            failed += 1
        outfile.write((json.dumps({"case": name, "ok": ok, "detail": detail}) + "\n").encode())
        outfile.flush()
    outfile.write((json.dumps({"passed": passed, "failed": failed}) + "\n").encode())
