"""The PySpark processes that the chosen tests need, two at a time: one alone leaves a processor idle."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
import queue
import threading

from harness import registry, stock
from harness.cluster import standalone
from harness.launch import DAVY, QUICK_ENV, STOCK, Outcomes, run_cases, stop_programs

# Below this, the cases of one Spark share a process: each part has a JVM and sessions of its own to start.
FEW = 100


# No case begins before both executors are there.
BOTH_EXECUTORS = {
    "spark.cores.max": "2",
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
}


def on_a_cluster(folder: pathlib.Path) -> dict[str, Outcomes]:
    """Davy's outcomes, and stock's of those that must run live, one after the other on the same cluster."""
    version, names = stock.VERSIONS[0], {STOCK: stock.live_on_a_cluster(), DAVY: stock.on_a_cluster()}
    with standalone(version, folder, env=QUICK_ENV) as master:
        return {
            mode: run_cases(version, mode, master, folder / mode, chosen, conf=BOTH_EXECUTORS)
            for mode, chosen in names.items()
        }


class Jobs:
    """Jobs begin in the order in which they were added: the longest first, so that both places end together."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()
        self._futures: dict = {}

    def add(self, key, run, *args, **more) -> concurrent.futures.Future:
        self._futures[key] = future = concurrent.futures.Future()
        self._waiting.put((future, run, args, more))
        return future

    def add_cases(self, version: str, mode: str, names: list[str], what: str) -> None:
        """The cases, in a process for each part."""
        parts = [[n for n in names if registry.module_of(n) in modules] for modules in registry.PARTS.values()]
        for number, part in enumerate([names] if len(names) < FEW else parts):
            if part:
                folder = self.folder / f"{mode}-{version}-{what}-{number}"
                future = self.add(folder, run_cases, version, mode, "local[2]", folder, part, timeout=2400)
                self._futures |= {(version, mode, name): future for name in part}

    def result(self, key):
        return self._futures[key].result()

    def outcome(self, version: str, mode: str, case: registry.Case) -> dict:
        return self.result((version, mode, case.name)).comparable(case)

    def start_worker(self) -> None:
        threading.Thread(target=self._work).start()

    def stop(self) -> None:
        while not self._waiting.empty():
            with contextlib.suppress(queue.Empty):
                self._waiting.get_nowait()
        stop_programs()

    def _work(self) -> None:
        while True:
            try:
                future, run, args, more = self._waiting.get_nowait()
            except queue.Empty:
                return
            try:
                future.set_result(run(*args, **more))
            except BaseException as raised:
                future.set_exception(raised)
