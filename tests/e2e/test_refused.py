"""What a sandbox refuses and which limits it meets: the user's sentence is pinned,
and after each attempt the same session runs a normal job correctly."""

from __future__ import annotations

import ast
import functools
import pathlib
import re
import tempfile

import pytest

from harness import registry
from harness.launch import DAVY, run_cases

DENIED = r"PermissionError: {what} is not granted to this sandbox: {call} was called\. What to do: .+"
NETWORK = "network access"

# The case, and a pattern that its last line of error (or its value) must match in full.
REFUSED = {}


def expect(pattern, *names):
    REFUSED.update(dict.fromkeys(names, pattern))


expect(r"(FileNotFoundError|PermissionError): \[Errno \d+\] .*", "refused.read_passwd", "refused.read_proc")
expect(r"(FileNotFoundError|PermissionError): \[Errno \d+\] .*", "refused.read_relative_escape")
expect(r"(FileNotFoundError|PermissionError): \[Errno \d+\] .*", "refused.list_home", "refused.change_directory")
expect(r"allowed: \[\]", "refused.list_root", "refused.host_environment")
expect(DENIED.format(what=NETWORK, call=r".*"), "refused.use_socket", "refused.resolve_name")
expect(r"allowed: .*|.*network access is not granted to this sandbox.*", "refused.use_urllib")


@functools.cache
def outcomes():
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="davy-refused-"))
    return run_cases("4.3.0", DAVY, "local[2]", scratch, modules=",".join(registry.DAVY_MODULES))


@pytest.mark.parametrize("name", sorted(registry.load(registry.DAVY_MODULES)))
def test_refused(name):
    out = outcomes().by_case[name]
    value = ast.literal_eval(out["value"])
    assert value["alive"]
    said = [line for line in value["said"].splitlines() if not re.match(r"\s*(SQLSTATE|$)", line)][-1]
    assert re.fullmatch(REFUSED[name], said), said
