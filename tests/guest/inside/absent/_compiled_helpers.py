"""Stands in for numpy's compiled test helpers, which the image does not link: a test that uses one skips.

Only tests use these modules, so they are no part of numpy as a job sees it. `overlay.py` puts this
file in the place of each.
"""

import pytest

_WHY = "a compiled helper of numpy's tests, not linked into the image: "


class _Absent(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        pytest.skip(f"{_WHY}{cls.__name__}.{name}", allow_module_level=True)

    def __call__(cls, *args, **kwargs):
        pytest.skip(f"{_WHY}{cls.__name__}", allow_module_level=True)


def get_fpu_mode():
    return None  # conftest.py compares it before and after each test


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _Absent(name, (), {})
