"""Guests that loop for ever: one attempt killed, a stage cancelled, a lost speculation, the application's end."""

from __future__ import annotations

import json
import pathlib
import time

import pytest

from harness import launch
from harness.cluster import standalone
from harness.launch import DAVY, QUICK_ENV, STOCK

VERSION = "4.3.0"
# Prints a JSON object: how each stop went; then the time, and stops while a task loops.
JOB = """
import json, sys, threading, time
from pyspark import InheritableThread, TaskContext
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
store, tracker = sc._jsc.sc().statusStore(), sc.statusTracker()

def loop():
    while True:
        pass

def regex():
    import re
    re.match(r"(a+)+$", "a" * 64 + "!")

def kernel():
    import numpy as np
    many = np.ones(1 << 22)
    np.convolve(many, many)

def stuck(run):
    def work(part):
        rows = list(part)
        context = TaskContext.get()
        if context.attemptNumber() == 0 and context.partitionId() == 0:
            run()
        return [sum(rows)]
    return work

def begin(name, run):
    ended = []
    def job():
        sc.setJobGroup(name, name)
        try:
            ended.append(sc.parallelize(range(40), 4).mapPartitions(stuck(run)).collect())
        except Exception as e:
            ended.append("cancelled" if "was cancelled" in str(e) else str(e)[:500])
    thread = InheritableThread(target=job)
    thread.start()
    return thread, ended

def looping(name):
    "The stage and the task of the first attempt, when all others have ended."
    until = time.monotonic() + 120
    while time.monotonic() < until:
        time.sleep(0.1)
        for info in filter(None, map(tracker.getJobInfo, tracker.getJobIdsForGroup(name))):
            for stage in info.stageIds:
                tasks = store.taskList(stage, 0, 100)
                tasks = [tasks.apply(i) for i in range(tasks.size())]
                first = [t for t in tasks if t.index() == 0 and t.attempt() == 0 and t.status() == "RUNNING"]
                if first and sum(t.status() == "SUCCESS" for t in tasks) == 3:
                    return stage, first[0].taskId()
    raise SystemExit("the task did not begin")

def after(thread, ended):
    thread.join(60)
    # Both executors are needed.
    two = sc.parallelize(range(8), 2).mapPartitions(lambda part: [time.sleep(1), sum(part)]).collect()
    return [ended[0] if ended else "runs on", two]

found = {}
if sys.argv[1] == "speculated":
    found["speculated"] = after(*begin("speculated", loop))
else:
    for n, run in enumerate((loop, regex, kernel)):
        job = begin(run.__name__, run)
        _, task = looping(run.__name__)
        time.sleep(0.5)
        sc._jsc.sc().killTaskAttempt(task, n % 2 == 0, "on purpose")
        found[run.__name__] = after(*job)
    job = begin("stage", regex)
    stage, _ = looping("stage")
    sc._jsc.sc().cancelStage(stage)
    found["stage"] = after(*job)
time.sleep(3)  # the sink's turn
found["quiet"] = time.time()
if sys.argv[1] != "speculated":
    begin("last", kernel)
    looping("last")
found["application"] = sc.applicationId
spark.stop()
print("RESULT " + json.dumps(found), flush=True)
"""
SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.minTaskRuntime": "500ms",
    "spark.speculation.multiplier": "1.2",
    "spark.speculation.quantile": "0.5",
}


def run(mode, master, what, folder, conf):
    folder.mkdir()
    (folder / "gauges").mkdir()
    (folder / "job.py").write_text(JOB)
    settings = launch.quick_conf(VERSION) | {
        "spark.cores.max": "2",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
        "spark.task.maxFailures": "1",
        "spark.metrics.conf.*.sink.csv.class": "org.apache.spark.metrics.sink.CsvSink",
        "spark.metrics.conf.*.sink.csv.directory": f"{folder}/gauges",
        "spark.metrics.conf.*.sink.csv.period": "1",
    }
    env = launch.environment(VERSION, mode, master, settings | conf, extra=QUICK_ENV)
    argv = [str(launch.venv(f"spark-{VERSION}") / "bin/python"), "job.py", what]
    done = launch.run_program(argv, env, folder / "log.txt", 400)
    lines = [line[7:] for line in done.log.splitlines() if line.startswith("RESULT ")]
    assert done.code == 0 and lines, done.log[-4000:]
    return json.loads(lines[0])


def busy(folder, quiet):
    """Sandboxes that are not idle, of each executor that has any, at the last look before the time."""
    seen = {}
    for file in (folder / "gauges").glob("*.plugin.davy.DavyPlugin.sandboxes.*.csv"):
        owner, _, name = file.stem.partition(".plugin.davy.DavyPlugin.")
        rows = [row.split(",") for row in file.read_text().splitlines()[1:]]
        values = [int(value) for at, value in rows if int(at) < int(quiet)]
        seen.setdefault(owner, {})[name] = values[-1] if values else 0
    return {owner: v["sandboxes.live"] - v["sandboxes.idle"] for owner, v in seen.items() if v["sandboxes.live"]}


def executors_left(application, seconds):
    """The processes of an application's executors, once they are gone or the time is over."""
    until = time.monotonic() + seconds
    while True:
        left = []
        for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "ExecutorBackend" in words and application in words:
                left.append(words[-200:])
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with standalone(VERSION, tmp_path_factory.mktemp("stops"), env=QUICK_ENV, apart=True) as master:
        yield master


@pytest.mark.parametrize("what", ["stops", "speculated"])
def test_a_guest_that_loops_is_stopped(what, cluster, tmp_path):
    conf = SPECULATION if what == "speculated" else {}
    found = {}
    for mode in (STOCK, DAVY):
        found[mode] = run(mode, cluster, what, tmp_path / mode, conf)
        # A worker of the cluster waits 10 s for an executor before it kills it.
        assert executors_left(found[mode]["application"], 8) == [], mode
    quiet = found[DAVY].pop("quiet")
    ours, stocks = ({k: v for k, v in found[mode].items() if isinstance(v, list)} for mode in (DAVY, STOCK))
    assert ours == stocks
    sums = [45, 145, 245, 345]
    assert all(ended in (sums, "cancelled") for ended, _ in ours.values()), ours
    assert [name for name, (ended, _) in ours.items() if ended == "cancelled"] == ["stage"] * (what == "stops")
    idle = busy(tmp_path / DAVY, quiet)
    assert idle and set(idle.values()) == {0}, idle
