"""Turns: the programs of both modes are alive at once, and run each query one after the other.

The speed of a shared machine changes within minutes; so a mode's run is measured seconds from the other's.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

# The folder that both share, and which of them this is: 0 or 1.
FOLDER, PLACE = "BENCH_TURNS", "BENCH_PLACE"


class Turns:
    def __init__(self) -> None:
        self.count = 0
        if folder := os.environ.get(FOLDER):
            self.folder, self.place = pathlib.Path(folder), int(os.environ[PLACE])

    @contextlib.contextmanager
    def next(self) -> Iterator[None]:
        """Begins when the other has had its turn: the first of turn n is number 2n, the second 2n + 1."""
        if FOLDER not in os.environ:
            yield
            return
        own = 2 * self.count + self.place
        while own and not (self.folder / str(own - 1)).exists():
            time.sleep(0.002)
        try:
            yield
        finally:
            (self.folder / str(own)).touch()
            self.count += 1
