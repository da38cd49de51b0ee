"""Each case has the same outcome on stock PySpark and on Davy: values, errors, log lines.

Stock's outcomes are recorded (`harness/stock.py`); those without a valid record, and a sample of
the others, run here too.
"""

from __future__ import annotations

import pytest

from harness import registry, stock
from harness.launch import DAVY, STOCK

CASES = registry.load()


def same(davy: dict, expected: dict) -> None:
    assert "timeout" not in davy, "the case did not end with Davy"
    assert davy == expected


@pytest.mark.parametrize(("version", "name"), [(v, n) for v in stock.VERSIONS for n in stock.taken(v)])
def test_local(version, name, jobs):
    case = CASES[name]
    recorded = stock.recorded(version, registry.module_of(name)).get(name)
    same(jobs.outcome(version, DAVY, case), recorded or jobs.outcome(version, STOCK, case))


@pytest.mark.parametrize(("version", "name"), [(v, n) for v in stock.VERSIONS for n in stock.sample(v)])
def test_stock_as_recorded(version, name, jobs):
    live = jobs.outcome(version, STOCK, CASES[name])
    assert live == stock.recorded(version, registry.module_of(name))[name], "run `make record-stock ALL=1`"


@pytest.fixture(scope="session")
def clustered(jobs):
    return jobs.result("cluster")


@pytest.mark.parametrize("name", stock.on_a_cluster())
def test_standalone_cluster(name, clustered):
    # What the cases print is in the executors' logs, not in the driver's.
    davy = clustered[DAVY].comparable(CASES[name], markers=False)
    recorded = stock.recorded(stock.VERSIONS[0], registry.module_of(name)).get(name, {})
    expected = {key: value for key, value in recorded.items() if key != "markers"}
    if name in clustered[STOCK].by_case:
        live = clustered[STOCK].comparable(CASES[name], markers=False)
        assert name in stock.BY_MASTER or not recorded or live == expected, "on a cluster stock does something else"
        expected = live
    same(davy, expected)
