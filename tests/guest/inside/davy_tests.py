"""In the sandbox: runs one file of a package's own tests and writes one JSON line a test.

The request is one line: ``file`` (a path beneath the packages, or a module of CPython's tests),
``skip`` (how many tests an earlier sandbox finished before it was stopped), ``without`` (regular
expressions of test ids that are not run), ``only`` (a regular expression, or null), ``options``.
A line ``{"start": id}`` goes before each test, so that a test which ends the sandbox is known.
"""

import importlib
import json
import os
import re
import sys

SUITE = os.environ.get("GUEST_SUITE", "python")

# What every file of a suite imports; imported here, the snapshot holds it.
_PYTEST = ["pytest", "_pytest.python", "hypothesis", "numpy.testing"]
_FIRST = {
    "python": ["unittest", "test.support", "test.support.os_helper"],
    "numpy": _PYTEST,
    "pandas": [*_PYTEST, "pandas._testing", "pyarrow.compute"],
    "pyarrow": [*_PYTEST, "pandas._testing", "pyarrow.compute"],
}
for name in _FIRST[SUITE]:
    importlib.import_module(name)


class Wire:
    """The way back to the host."""

    def __init__(self, outfile, request):
        self.outfile = outfile
        self.request = request
        self.without = [re.compile(pattern) for pattern in request["without"]]
        self.only = request["only"] and re.compile(request["only"])

    def send(self, **line):
        self.outfile.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        self.outfile.flush()

    def start(self, name):
        self.send(start=name)

    def result(self, name, outcome, message="", text=""):
        self.send(id=name, outcome=outcome, **({"message": message[:600], "text": text[-3000:]} if message else {}))

    def select(self, tests, name_of):
        """The tests to run: those that the request names, less those that cannot apply."""
        kept = []
        for test in tests:
            name = name_of(test)
            if self.only and not self.only.search(name):
                continue
            if any(pattern.search(name) for pattern in self.without):
                continue
            kept.append(test)
        self.send(collected=len(kept), left_out=len(tests) - len(kept))
        return kept[self.request["skip"] :]


def main(infile, outfile):
    request = json.loads(infile.readline())
    wire = Wire(outfile, request)
    # What tests want to find: the names of a POSIX machine's folders, made in the scratch folder.
    os.environ.update(HOME="/tmp", TMPDIR="/tmp")
    if SUITE == "python":
        from davy_unittest import run
    else:
        from davy_pytest import run
    before = sys.stdout
    try:
        run(wire, request)
    finally:
        sys.stdout = before
