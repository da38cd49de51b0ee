"""Puts the harness and the cases on the path, whoever starts pytest, and starts what the tests look at."""

import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import registry, stock
from harness.jobs import Jobs, on_a_cluster
from harness.launch import DAVY, STOCK, run_cases


def _chosen(items, test: str) -> dict[str, list[str]]:
    """The names by Spark version that the tests of a function look at."""
    found = {version: [] for version in stock.VERSIONS}
    for item in items:
        if item.originalname == test:
            found[item.callspec.params["version"]].append(item.callspec.params["name"])
    return found


def pytest_collection_modifyitems(items):
    """Last comes what only waits for the jobs: all else runs beside them."""
    items.sort(key=lambda item: item.path.stem in ("test_refused", "test_same_as_stock"))


@pytest.fixture(scope="session", autouse=True)
def jobs(request):
    items = request.session.items
    jobs = Jobs(pathlib.Path(tempfile.mkdtemp(prefix="davy-e2e-")))
    compared, sampled = _chosen(items, "test_local"), _chosen(items, "test_stock_as_recorded")
    if any("clustered" in item.fixturenames for item in items):
        jobs.add("cluster", on_a_cluster, jobs.folder / "cluster")
    for version in stock.VERSIONS:
        jobs.add_cases(version, DAVY, compared[version], "all")
    if refused := [item.callspec.params["name"] for item in items if item.originalname == "test_refused"]:
        jobs.add("refused", run_cases, "4.3.0", DAVY, "local[2]", jobs.folder / "refused", refused)
    for version in stock.VERSIONS:
        unknown = [n for n in compared[version] if n not in stock.recorded(version, registry.module_of(n))]
        jobs.add_cases(version, STOCK, list(dict.fromkeys(unknown + sampled[version])), "live")
    jobs.start_worker()
    # The tests of bad input are the other worker as long as they run.
    if items[0].path.stem != "test_bad_input":
        jobs.start_worker()
    yield jobs
    jobs.stop()


def pytest_terminal_summary(terminalreporter):
    for line in stock.summary():
        terminalreporter.write_line(line)
