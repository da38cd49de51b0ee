"""Stands in for numpy's compiled test helpers, which the image does not link: a test that uses one skips.

Only tests use these modules, so they are no part of numpy as a job sees it. `overlay.py` puts this
file in the place of each.
"""

import os

import pytest


def _skip(name):
    # Not while a module of tests is collected: it has others beside those that use the helper.
    if "PYTEST_CURRENT_TEST" in os.environ:
        pytest.skip(f"a compiled helper of numpy's tests, not linked into the image: {name}")


class _Absent(type):
    def __getattr__(cls, name):
        if name.startswith("__") or name == "dtype":  # numpy asks any class for its dtype
            raise AttributeError(name)
        _skip(f"{cls.__name__}.{name}")
        return _Absent(f"{cls.__name__}.{name}", (), {})

    def __call__(cls, *args, **kwargs):
        _skip(cls.__name__)
        return cls


def get_fpu_mode():
    return None  # conftest.py compares it before and after each test


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _Absent(name, (), {})
