"""Cancelled jobs: the guest is stopped wherever it is, and the executor is free again."""

import threading
import time

from pyspark.sql.functions import udf

from harness.registry import case


def _spin(_):
    while True:
        pass


def _sleep(_):
    import time

    while True:
        time.sleep(60)


def _regex(_):
    import re

    return re.match(r"(a+)+$", "a" * 64 + "!")


def _sort(_):
    import random

    data = [random.random() for _ in range(200_000)]
    while True:
        data.sort(key=lambda v: -v)
        data.reverse()


def _endless_iterator(_):
    import itertools

    return sum(1 for _ in itertools.count())


def _big_power(_):
    return len(str(7**3_000_000))


LOOPS = {
    "spin": _spin,
    "sleep": _sleep,
    "regex": _regex,
    "sort": _sort,
    "count": _endless_iterator,
    "power": _big_power,
}


def _cancelled(loop, interrupt):
    def run(spark):
        sc = spark.sparkContext
        group = f"group-{loop.__name__}-{interrupt}"
        outcome = {}

        def job():
            sc.setJobGroup(group, "to be cancelled", interruptOnCancel=interrupt)
            try:
                sc.parallelize(range(2), 2).map(loop).collect()
                outcome["job"] = "ended by itself"
            except Exception as raised:
                text = str(raised)
                outcome["job"] = "cancelled" if "cancelled part of" in text or "ancelled" in text else text[:500]

        from pyspark import InheritableThread

        thread = InheritableThread(target=job)
        thread.start()
        deadline = time.monotonic() + 20
        while not sc.statusTracker().getJobIdsForGroup(group) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.8)
        sc.cancelJobGroup(group)
        thread.join(30)
        # Both cores are needed: this ends only when both loops are really gone.
        started = time.monotonic()
        barrier = udf(lambda x: x + 1, "long", useArrow=False)
        after = spark.range(0, 4, 1, 4).select(barrier("id")).collect()
        free = time.monotonic() - started
        return [outcome.get("job"), thread.is_alive(), after, free < 20]

    run.__module__ = __name__
    return run


for _name, _loop in LOOPS.items():
    for _interrupt in (True, False):
        _key = f"{_name}_{'interrupted' if _interrupt else 'not_interrupted'}"
        case("default", name=_key, cluster=_name == "spin", seconds=90)(_cancelled(_loop, _interrupt))


@case()
def threads_left(spark):
    """Nothing of the cancelled jobs keeps a driver thread."""
    names = [t.name for t in threading.enumerate() if "group-" in t.name]
    return [names, spark.sparkContext.parallelize(range(10), 4).map(lambda x: x).sum()]
