"""Ways to stop a guest that loops for ever: one attempt of a task, a stage, a speculation's loser, the application."""

from __future__ import annotations

import csv
import json
import re
import time

from harness import launch, registry
from harness.cluster import standalone
from harness.jobs import BOTH_EXECUTORS
from harness.launch import DAVY

VERSION = "4.3.0"
# Prints a JSON object; ends while a guest loops.
JOB = """
import json, os, sys, threading, time
from pyspark import InheritableThread, TaskContext
from pyspark.sql import SparkSession

notes = sys.argv[1]
spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
jvm = sc._jvm
found = {}

def within(seconds, true):
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(true())

def busy():
    davy = jvm.org.apache.spark.api.python.DavyWorkers.of(jvm.org.apache.spark.SparkEnv.get()).get()
    live = json.loads(davy.engineStats().get())["sandboxes"]
    return live - davy.idleSandboxes()

def loops(name):
    def run(rows):
        task = TaskContext.get()
        if task.attemptNumber() == 0:
            with open(f"{notes}/{name}", "w") as file:
                file.write(f"{task.taskAttemptId()} {task.stageId()}")
            while True:
                pass
        return [sum(rows)]
    return run

def begin(name):
    outcome = {}
    def job():
        try:
            outcome["result"] = sc.parallelize(range(10), 1).mapPartitions(loops(name)).collect()
        except Exception as error:
            outcome["result"] = str(error)
    thread = InheritableThread(target=job, daemon=True)
    thread.start()
    path = f"{notes}/{name}"
    assert within(60, lambda: os.path.exists(path) and len(open(path).read().split()) == 2), name
    assert busy() == 1, busy()
    attempt, stage = map(int, open(path).read().split())
    return thread, outcome, attempt, stage

def ended(thread, outcome):
    thread.join(30)
    return [outcome.get("result"), within(10, lambda: busy() == 0)]

sc.parallelize(range(2), 2).map(lambda i: i).collect()
thread, outcome, attempt, _ = begin("attempt")
found["killed"] = sc._jsc.sc().killTaskAttempt(attempt, True, "enough of it")
found["attempt"] = ended(thread, outcome)
thread, outcome, _, stage = begin("stage")
sc._jsc.sc().cancelStage(stage)
found["stage"] = ended(thread, outcome)
begin("application")
print("RESULT " + json.dumps(found), flush=True)
began = time.monotonic()
spark.stop()
print(f"STOPPED {time.monotonic() - began}", flush=True)
"""
SPECULATION = """
import json, sys, time
from pyspark import TaskContext
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()

def run(part, rows):
    if part == 3 and TaskContext.get().attemptNumber() == 0:
        while True:
            pass
    return [sum(rows)]

result = spark.sparkContext.parallelize(range(8), 4).mapPartitionsWithIndex(run).collect()
time.sleep(4)  # the sinks' turn
print("RESULT " + json.dumps(result), flush=True)
spark.stop()
"""


def run(folder, job, master, conf, *words):
    (folder / "job.py").write_text(job)
    env = launch.environment(
        VERSION,
        DAVY,
        master,
        launch.QUICK_CONF | conf,
        extra=launch.QUICK_ENV
        | {
            "TMPDIR": str(folder / "tmp"),
            "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={folder}/tmp",
            "SPARK_LOCAL_DIRS": str(folder / "tmp"),
        },
    )
    (folder / "tmp").mkdir()
    argv = [str(launch.venv(f"spark-{VERSION}") / "bin/python"), "job.py", *words]
    done = launch.run_program(argv, env, folder / "log.txt", 240)
    found = re.search("^RESULT (.*)$", done.log, re.MULTILINE)
    assert found, done.log[-4000:]
    return json.loads(found[1]), done


def test_attempt_stage_and_application(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    found, done = run(tmp_path, JOB, "local[2]", {"spark.davy.grant.write": str(notes)}, str(notes))
    # The attempt alone was killed: the next one gave the result.
    assert found["killed"] is True and found["attempt"] == [[45], True]
    said, free = found["stage"]
    assert "cancelled" in said and free, said
    stopped = re.search(r"^STOPPED (\S+)$", done.log, re.MULTILINE)
    assert stopped and float(stopped[1]) < 15, done.log[-3000:]
    assert done.code == 0
    others = ("hsperfdata", "liblz4", "snappy", "libnetty")
    assert [p.name for p in (tmp_path / "tmp").iterdir() if not p.name.startswith(others)] == []


def last_of(folder, gauge):
    """What each process's gauge came to."""
    rows = [list(csv.reader(p.open()))[-1] for p in sorted(folder.glob(f"*.plugin.davy.DavyPlugin.{gauge}.csv"))]
    return [int(row[1]) for row in rows]


def test_the_loser_of_a_speculation(tmp_path):
    gauges = tmp_path / "gauges"
    gauges.mkdir()
    conf = (
        BOTH_EXECUTORS
        | registry.GROUPS["speculation"]
        | {
            "spark.executor.memory": "512m",
            "spark.metrics.conf.executor.sink.csv.class": "org.apache.spark.metrics.sink.CsvSink",
            "spark.metrics.conf.executor.sink.csv.directory": str(gauges),
            "spark.metrics.conf.executor.sink.csv.period": "1",
        }
    )
    with standalone(VERSION, tmp_path / "cluster", env=launch.QUICK_ENV) as master:
        began = time.monotonic()
        found, _ = run(tmp_path, SPECULATION, master, conf)
        assert found == [1, 5, 9, 13], time.monotonic() - began
    live, idle = last_of(gauges, "sandboxes.live"), last_of(gauges, "sandboxes.idle")
    assert live == idle and len(live) == 2, "the one that looped is gone, the others wait"
