"""One file of tests for pytest: numpy, pandas, pyarrow."""

import io
import sys

import pytest

SITE = "/usr/local/lib/python3.11/site-packages"


class Reporter:
    def __init__(self, wire):
        self.wire = wire
        self.found = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        items[:] = self.wire.select(items, lambda item: item.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.wire.result(report.nodeid, "error", *self._said(report))
        elif report.skipped:
            self.wire.result(report.nodeid, "skipped", _reason(report.longrepr))

    def pytest_runtest_logstart(self, nodeid, location):
        self.wire.start(nodeid)
        self.found = {"outcome": "passed"}

    def pytest_runtest_logreport(self, report):
        if self.found["outcome"] in ("failed", "error"):
            return  # what else goes wrong at its end follows from that
        if report.failed:
            message, text = self._said(report)
            outcome = "failed" if report.when == "call" else "error"
            self.found = {"outcome": outcome, "message": message, "text": text}
        elif report.skipped and self.found["outcome"] == "passed":
            expected = hasattr(report, "wasxfail")
            reason = report.wasxfail if expected else _reason(report.longrepr)
            self.found = {"outcome": "xfailed" if expected else "skipped", "message": reason or "no reason given"}

    def pytest_runtest_logfinish(self, nodeid, location):
        self.wire.result(nodeid, **self.found)

    @staticmethod
    def _said(report):
        text = report.longreprtext
        crash = getattr(report.longrepr, "reprcrash", None)
        lines = text.strip().splitlines() or ["no message"]
        return (crash.message if crash else lines[-1]), text


def _reason(longrepr):
    return longrepr[2].removeprefix("Skipped: ") if isinstance(longrepr, tuple) else str(longrepr)


def run(wire, request):
    sys.stdout = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    # No descriptor can be duplicated on WASI: output is captured at sys.stdout. Assertions are not rewritten:
    # the compiled tests beside the sources are used as they are.
    options = [
        "-o",
        "cache_dir=/tmp/pytest-cache",
        "-p",
        "no:faulthandler",
        "--capture=sys",
        "--assert=plain",
        "--tb=short",
        "-qq",
        f"--rootdir={SITE}",
        "--override-ini=addopts=",
        "--basetemp=/tmp/pytest",
    ]
    code = pytest.main([*options, *request["options"], f"{SITE}/{request['file']}"], plugins=[Reporter(wire)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        said = sys.stdout.buffer.getvalue().decode()
        if code != pytest.ExitCode.INTERRUPTED:  # by errors of collection, which are reported one by one
            wire.result(request["file"], "error", f"pytest ended with {code!r}", said)
