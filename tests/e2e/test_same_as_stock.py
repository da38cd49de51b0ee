"""Each case runs on stock PySpark and on Davy; the outcomes are equal: values, errors, log lines."""

from __future__ import annotations

import functools
import pathlib
import re
import tempfile

import pytest

from harness import registry
from harness.cluster import standalone
from harness.launch import DAVY, STOCK, run_cases, stock_outcomes

VERSIONS = ("4.3.0", "4.0.1")
CASES = registry.load()


def _since(version: str):
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    return [name for name, case in CASES.items() if case.since <= number]


@functools.cache
def scratch() -> pathlib.Path:
    return pathlib.Path(tempfile.mkdtemp(prefix="davy-e2e-"))


@functools.cache
def outcomes(version: str, mode: str):
    """One process for all cases; what it wrote is kept in its folder."""
    if mode == STOCK:
        return stock_outcomes(version, scratch() / f"{mode}-{version}")
    return run_cases(version, mode, "local[2]", scratch() / f"{mode}-{version}", timeout=1500)


@functools.cache
def cluster_outcomes():
    """Stock's and Davy's, one after the other on the same cluster."""
    folder = scratch() / "cluster"
    with standalone("4.3.0", folder) as master:
        return [run_cases("4.3.0", mode, master, folder / mode, cluster=True) for mode in (STOCK, DAVY)]


def plain(out: dict) -> dict:
    return {k: v for k, v in out.items() if k != "seconds"}


def compare(case, stock, davy):
    assert "timeout" not in davy, "the case did not end with Davy"
    if case.differs:
        assert ("value" in davy) == ("value" in stock), case.differs
        return
    assert plain(davy) == plain(stock)


@pytest.mark.parametrize(("version", "name"), [(v, name) for v in VERSIONS for name in _since(v)])
def test_local(version, name):
    case, stock, davy = CASES[name], outcomes(version, STOCK), outcomes(version, DAVY)
    compare(case, stock.by_case[name], davy.by_case[name])
    if case.markers:
        assert davy.markers(name) == stock.markers(name)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.cluster])
def test_standalone_cluster(name):
    stock, davy = cluster_outcomes()
    compare(CASES[name], stock.by_case[name], davy.by_case[name])
