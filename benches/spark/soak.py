"""Question: does an executor keep anything of the sandboxes that come and go?

    soak.py [--tasks 50000] [--fresh 3000] [--each 500]

One application in local mode, tiny tasks: first with reused workers, then another application that
starts a sandbox for each task.  The JVM's memory, descriptors, threads and mappings are sampled after each
stage; the JVM's heap has its full size from the start, so that what grows is not the heap.  Prints the
growth after the first 1,000 tasks and writes all samples to benches/runs.  Exits with 1 if memory grew by
more than 5 % after them, or if descriptors, sandboxes' threads or their mappings stayed behind.  Not measured:
tasks with data; a cluster.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WARM = 1000
# Spark's own monitor of each task sleeps so long after it, a thread each.
SETTLE = 2.5
# These must not grow. The other threads and their stacks are Spark's pools, which fill up to their bounds by and by.
KINDS = ("descriptors", "sandbox_threads", "sandbox_mappings")
OTHERS = ("threads", "mappings")


def sample(pid: int) -> dict:
    """MiB and counts of a process."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    anonymous = int(status["RssAnon"].split()[0])
    shared = sum(int(status[name].split()[0]) for name in ("RssFile", "RssShmem"))
    names = collections.Counter()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            names[(task / "comm").read_text().strip().rstrip("0123456789.-")] += 1
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {
        "rss_mib": round((anonymous + shared) / 1024, 1),
        "anonymous_mib": round(anonymous / 1024, 1),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": names.total(),
        "sandbox_threads": sum(n for name, n in names.items() if name.startswith("davy")),
        "mappings": len(maps),
        # Each live sandbox has some of its snapshot.
        "sandbox_mappings": sum("davy-snapshot" in line for line in maps),
        "threads_by_name": dict(names.most_common()),
    }


def work(tasks: int, each: int) -> None:
    """In the application: runs the tasks and prints the samples."""
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    sc = spark.sparkContext
    jvm = sc._jvm.java.lang.ProcessHandle.current().pid()
    began, done, samples = time.monotonic(), 0, []
    while done < tasks:
        n = min(each, tasks - done)
        found = sc.parallelize(range(n), n).map(lambda i: i * i).sum()
        assert found == sum(i * i for i in range(n)), found
        done += n
        if done % (5 * each) == 0 or done == tasks:
            sc._jvm.System.gc()  # what Java frees late (direct buffers) is no leak
        time.sleep(SETTLE)
        samples.append({"tasks": done, "seconds": round(time.monotonic() - began, 1)} | sample(jvm))
    time.sleep(1)
    print("RESULT " + json.dumps(samples), flush=True)
    spark.stop()


def application(reuse: bool, tasks: int, each: int, folder: pathlib.Path) -> list[dict]:
    """The samples of one application."""
    sys.path.insert(0, str(ROOT / "tests/e2e"))
    from harness import launch

    conf = {
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": "-Xms1g -XX:+AlwaysPreTouch -XX:+UseSerialGC",
        "spark.python.worker.reuse": str(reuse).lower(),
        # What the driver remembers of finished work.
        "spark.ui.retainedJobs": "5",
        "spark.ui.retainedStages": "5",
        "spark.ui.retainedTasks": "1000",
    }
    env = launch.environment("4.3.0", launch.DAVY, "local[2]", conf)
    python = str(launch.venv("spark-4.3.0") / "bin/python")
    argv = [python, __file__, "--inside", str(tasks), "--each", str(each)]
    done = launch.run_program(argv, env, folder / "log", 7200)
    for line in done.log.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    sys.exit(f"error: no result:\n{done.log[-4000:]}")


def growth(samples: list[dict]) -> dict:
    """What the last tenth has over the samples just after the first tasks, medians; peaks beside them."""
    warm = [s for s in samples if s["tasks"] > WARM] or samples
    some = max(3, len(warm) // 10)

    def middle(part: list[dict], name: str) -> float:
        return statistics.median(s[name] for s in part)

    names = ("rss_mib", "anonymous_mib", *KINDS, *OTHERS)
    return {
        name: {
            "first": middle(warm[:some], name),
            "last": middle(warm[-some:], name),
            "most": max(s[name] for s in warm),
        }
        for name in names
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=50_000)
    parser.add_argument("--fresh", type=int, default=3_000)
    parser.add_argument("--each", type=int, default=1000)
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        work(args.inside, args.each)
        return 0
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    kept = {"cores": os.cpu_count(), "commit": commit.strip(), "load_before": os.getloadavg()[0]}
    bad = 0
    print("| workers | | after 1,000 tasks | at the end | most |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="davy-soak-") as scratch:
        for reuse, tasks, each in ((True, args.tasks, args.each), (False, args.fresh, max(args.each // 5, 1))):
            samples = application(reuse, tasks, each, pathlib.Path(scratch))
            grown = growth(samples)
            what = f"{tasks} tasks, " + ("reused" if reuse else "one each")
            kept[what] = {"growth": grown, "samples": samples}
            for name, values in grown.items():
                print(f"| {what} | {name} | {values['first']:g} | {values['last']:g} | {values['most']:g} |")
            steady = grown["rss_mib"]["last"] <= 1.05 * grown["rss_mib"]["first"]
            # Idle sandboxes come and go by some.
            left = [name for name in KINDS if grown[name]["last"] > grown[name]["first"] + 8]
            if not steady or left:
                print(f"grown: {'memory ' if not steady else ''}{' '.join(left)}")
                bad = 1
            by_name = [collections.Counter(samples[n]["threads_by_name"]) for n in (0, -1)]
            print(f"threads at the end that were not there at first: {dict(by_name[1] - by_name[0])}", file=sys.stderr)
    runs = ROOT / "benches/runs"
    path = runs / f"{datetime.date.today()}-spark-soak.json"
    path.write_text(json.dumps(kept, indent=1) + "\n")
    print(f"\nraw values: {path.relative_to(ROOT)}", file=sys.stderr)
    return bad


if __name__ == "__main__":
    sys.exit(main())
