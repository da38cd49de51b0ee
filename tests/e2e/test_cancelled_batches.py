"""Kills in every phase of a node that passes Arrow batches: nothing of them is left, and the next query is right."""

from __future__ import annotations

import json

import pytest

from harness import launch
from harness.launch import DAVY

VERSION = "4.3.0"

# Prints a JSON object: of each kind of node and each phase, how the job ended and what was left of it.
JOB = """
import json, threading, time
import pandas as pd
from pyspark import InheritableThread
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf

spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
arrow = spark._jvm.org.apache.spark.sql.util.ArrowUtils.rootAllocator()

def function(endless):
    def plus_one(v: pd.Series) -> pd.Series:
        while endless and v.max() >= 2000:
            pass
        return v + 1
    return plus_one

def slow(column):
    # In the JVM: two milliseconds a row.
    sleep = f"java_method('java.lang.Thread', 'sleep', {column} * 0 + 2L)"
    return f"{column} + length(coalesce({sleep}, '')) * 0 as {column}"

def numbers(n):
    return spark.range(0, n, 1, 2).selectExpr("id", "id % 300 as k")

def of_kind(kind, rows, endless):
    plus_one = function(endless)
    if kind == "scalar":
        return rows.select(pandas_udf(plus_one, "long")("id").alias("v"))
    if kind == "map":
        def all_of(batches):
            for batch in batches:
                yield pd.DataFrame({"v": plus_one(batch["id"])})
        return rows.mapInPandas(all_of, "v long")
    def of_group(group):
        return pd.DataFrame({"v": plus_one(group["id"])})
    return rows.groupBy("k").applyInPandas(of_group, "v long")

def query(kind, phase):
    rows = numbers(100000)
    if kind == "groups":
        rows = rows.repartition("k")  # what comes then is in the stage of the function
    if phase == "gathered":
        rows = rows.selectExpr(slow("id"), "k")
    results = of_kind(kind, rows, phase == "computed")
    return results.selectExpr(slow("v")) if phase == "read" else results

def cancelled(kind, phase, interrupt):
    group, ended = f"{kind} {phase}", []
    def job():
        sc.setJobGroup(group, group, interruptOnCancel=interrupt)
        try:
            query(kind, phase).write.format("noop").mode("overwrite").save()
            ended.append("by itself")
        except Exception as e:
            ended.append("cancelled" if "ancelled" in str(e) else str(e)[:500])
    thread = InheritableThread(target=job)
    thread.start()
    tracker, until = sc.statusTracker(), time.monotonic() + 30
    def stages():
        jobs = map(tracker.getJobInfo, tracker.getJobIdsForGroup(group))
        return [tracker.getStageInfo(s) for job in jobs if job for s in job.stageIds]
    def begun():
        return sum(bool(s and s.numActiveTasks + s.numCompletedTasks) for s in stages())
    # Groups have a stage before that of the function.
    while begun() < (2 if kind == "groups" else 1) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1)
    sc.cancelJobGroup(group)
    thread.join(60)
    until = time.monotonic() + 20
    while arrow.getAllocatedMemory() and time.monotonic() < until:
        time.sleep(0.05)
    after = of_kind(kind, numbers(1000), False).selectExpr("sum(v)").collect()[0][0]
    return [ended[0] if ended else "runs on", arrow.getAllocatedMemory(), after]

found = {}
for n, kind in enumerate(("scalar", "map", "groups")):
    for m, phase in enumerate(("gathered", "computed", "read")):
        found[f"{kind} {phase}"] = cancelled(kind, phase, (n + m) % 2 == 0)
time.sleep(2.5)  # the sink's turn
print("RESULT " + json.dumps(found))
spark.stop()
"""


@pytest.mark.parametrize("off_heap", [False, True], ids=["not charged", "charged"])
def test_a_kill_in_any_phase_frees_all_batches(tmp_path, off_heap):
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "gauges").mkdir()
    charged = {
        "spark.davy.memory.charge": "true",
        "spark.memory.offHeap.enabled": "true",
        "spark.memory.offHeap.size": "1g",
    }
    settings = {
        "spark.task.maxFailures": "1",
        "spark.unsafe.exceptionOnMemoryLeak": "true",
        "spark.log.level": "WARN",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "500",
        "spark.sql.shuffle.partitions": "2",
        "spark.metrics.conf.*.sink.csv.class": "org.apache.spark.metrics.sink.CsvSink",
        "spark.metrics.conf.*.sink.csv.directory": f"{tmp_path}/gauges",
        "spark.metrics.conf.*.sink.csv.period": "1",
    } | (charged if off_heap else {})
    env = launch.environment(VERSION, DAVY, "local[2]", settings | launch.quick_conf(VERSION), extra=launch.QUICK_ENV)
    argv = [str(launch.venv("spark-4.3.0") / "bin/python"), "job.py"]
    done = launch.run_program(argv, env, tmp_path / "log.txt", 300)
    lines = [line[7:] for line in done.log.splitlines() if line.startswith("RESULT ")]
    assert lines, done.log[-4000:]
    found = json.loads(lines[0])
    assert len(found) == 9 and all(seen == ["cancelled", 0, 500500] for seen in found.values()), found
    for words in ("Memory was leaked", "Managed memory leak", "IllegalReferenceCount", "SIGSEGV"):
        assert words not in done.log, done.log[done.log.index(words) - 2000 :][:4000]
    for gauge in ("batches.held", "batches.heldBytes"):
        (file,) = (tmp_path / "gauges").glob(f"*plugin.davy.DavyPlugin.{gauge}.csv")
        values = [int(row.split(",")[1]) for row in file.read_text().splitlines()[1:]]
        assert values[-1] == 0, (gauge, values)
