"""The seeds of the random comparisons."""

import os


def seeds(usual: range) -> range:
    """The recorded ones, or those that `make test-random` asks for: `first:last` in E2E_SEEDS."""
    first, _, last = os.environ.get("E2E_SEEDS", "").partition(":")
    return range(int(first), int(last) + 1) if last else usual
