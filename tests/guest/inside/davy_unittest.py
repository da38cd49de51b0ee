"""One module of CPython's tests, as `python -m test` would run it with no resource enabled."""

import gc
import importlib
import sys
import traceback
import unittest

from test import support


class Result(unittest.TestResult):
    def __init__(self, wire):
        super().__init__()
        self.wire = wire
        self.found = None

    def startTest(self, test):
        super().startTest(test)
        self.found = ("passed",)
        self.wire.start(_name(test))

    def stopTest(self, test):
        super().stopTest(test)
        self.wire.result(_name(test), *self.found)
        self.found = None

    def _note(self, test, outcome, message, text=""):
        if self.found is None:  # a fixture of a class or module, outside of any test
            self.wire.result(_name(test), outcome, message, text)
        elif self.found[0] in ("passed", "skipped"):
            self.found = (outcome, message, text)

    def addError(self, test, err):
        self._note(test, "error", *_said(err))

    def addFailure(self, test, err):
        self._note(test, "failed", *_said(err))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._note(test, "failed", *_said(err))

    def addSkip(self, test, reason):
        self._note(test, "skipped", reason or "no reason given")

    def addExpectedFailure(self, test, err):
        self._note(test, "xfailed", "expected")

    def addUnexpectedSuccess(self, test):
        self._note(test, "failed", "passed, although a failure was expected")


def _name(test):
    return test.id().removeprefix("test.")


def _said(err):
    lines = traceback.format_exception_only(*err[:2])
    return "".join(lines[-1:]).strip() or err[0].__name__, "".join(traceback.format_exception(*err))


def _flat(suite):
    if isinstance(suite, unittest.TestSuite):
        for part in suite:
            yield from _flat(part)
    else:
        yield suite


def run(wire, request):
    name = request["file"]
    support.use_resources = []
    support.verbose = 0
    support.record_original_stdout(sys.stdout)
    result = Result(wire)

    def run_suite(suite):
        unittest.TestSuite(wire.select(list(_flat(suite)), _name)).run(result)
        return result

    try:
        module = importlib.import_module(f"test.{name}")
        if hasattr(module, "test_main"):
            # Some modules choose their tests themselves; these helpers are where they hand them over.
            support.run_unittest = lambda *found: run_suite(unittest.TestSuite(_loaded(found)))
            support.run_doctest = lambda *args, **kwargs: (0, 0)
            for helper in ("run_unittest", "run_doctest"):
                if hasattr(module, helper):
                    setattr(module, helper, getattr(support, helper))
            module.test_main()
        else:
            run_suite(unittest.defaultTestLoader.loadTestsFromModule(module))
    except unittest.SkipTest as e:
        wire.result(name, "skipped", str(e))
    except Exception:
        said = _said(sys.exc_info())
        wire.result(name, "error", *said)
    gc.collect()


def _loaded(found):
    loader = unittest.defaultTestLoader
    for one in found:
        if isinstance(one, str):
            yield from _flat(loader.loadTestsFromModule(sys.modules[one]))
        elif isinstance(one, type):
            yield from _flat(loader.loadTestsFromTestCase(one))
        else:
            yield from _flat(one)
