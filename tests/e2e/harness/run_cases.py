"""Runs cases in one PySpark process and writes their outcomes as JSON.

    python -m harness --cases FILE --out FILE [--archive FILE]

Mode, master and jars come from PYSPARK_SUBMIT_ARGS (see `launch.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import traceback

from pyspark import SparkConf, cloudpickle
from pyspark import __version__ as spark_version
from pyspark.sql import SparkSession

from harness import outcome, registry

UNFINISHED = 3


class Results:
    """The outcomes so far, on disk after every case: a later one may end the process."""

    def __init__(self, path: str):
        self.path, self.by_case, self.deadline, self.current = path, {}, None, None
        if os.path.exists(path):
            with open(path) as kept:
                self.by_case = json.load(kept)["outcomes"]
        threading.Thread(target=self._watch, daemon=True).start()

    def put(self, name: str, out: dict) -> None:
        self.by_case[name] = out
        with open(self.path + ".new", "w") as new:
            json.dump({"spark": spark_version, "outcomes": self.by_case}, new, indent=1)
        os.replace(self.path + ".new", self.path)

    def _watch(self) -> None:
        """A case that does not end is an outcome; the process ends and the caller starts the next."""
        while True:
            time.sleep(0.2)
            if self.deadline and time.monotonic() > self.deadline:
                self.put(self.current, {"timeout": True})
                os._exit(UNFINISHED)


def session(group: str, **places: str) -> SparkSession:
    if "spark.executorEnv.TZ" in registry.GROUPS[group]:
        # The driver's own Python converts collected timestamps by it too.
        os.environ["TZ"] = registry.GROUPS[group]["spark.executorEnv.TZ"]
        time.tzset()
    conf = SparkConf()
    for key, value in registry.GROUPS[group].items():
        conf.set(key, value.format(**places))
    spark = SparkSession.builder.config(conf=conf).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def run_one(case, spark, results: Results) -> None:
    started = time.monotonic()
    # Marks where the case's lines begin in the executor's log (local mode).
    print(f"\nCASE-BEGIN {case.name}", file=sys.stderr, flush=True)
    results.current, results.deadline = case.name, started + case.seconds
    try:
        out = {"value": outcome.canonical(case.run(spark))}
    except Exception as raised:
        out = {"error": outcome.error(raised)}
        if os.environ.get("E2E_VERBOSE"):
            traceback.print_exc()
    results.deadline = None
    time.sleep(0.3 if case.markers else 0)
    print(f"\nCASE-END {case.name}", file=sys.stderr, flush=True)
    out["seconds"] = round(time.monotonic() - started, 3)
    results.put(case.name, out)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", required=True, help="a JSON list of names")
    parser.add_argument("--out", required=True)
    parser.add_argument("--archive")
    args = parser.parse_args()
    with open(args.cases) as wanted:
        names = json.load(wanted)
    known = registry.load(dict.fromkeys(map(registry.module_of, names)))
    cases = [known[name] for name in names]
    # User code lives in the driver's script, never in a module of the executor.
    for name in [name for name in sys.modules if name.startswith("cases.")]:
        cloudpickle.register_pickle_by_value(sys.modules[name])
    results = Results(args.out)
    notes = os.path.join(os.path.dirname(os.path.abspath(args.out)), "notes")
    os.makedirs(notes, exist_ok=True)
    for group in registry.GROUPS:
        members = [c for c in cases if c.group == group and c.name not in results.by_case]
        if not members:
            continue
        spark = session(group, archive=args.archive, notes=notes)
        for case in members:
            run_one(case, spark, results)
        spark.stop()
    print(f"ran {len(results.by_case)} cases", flush=True)


if __name__ == "__main__":
    main()
