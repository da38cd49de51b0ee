"""One process, one mode: measures and prints a JSON object.  Started by bench.py."""

import contextlib
import json
import os
import statistics
import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql.functions import udf

rows, tasks = int(sys.argv[1]), int(sys.argv[2])
began = time.perf_counter()
spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
session = time.perf_counter() - began
found = {"session start, s": session}
add = udf(lambda x: x + 1, "long", useArrow=False)


def timed(work, times):
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def pss_of(pid):
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024


def tree():
    """The JVM's PSS and that of the Python processes below it, MiB."""
    parents = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
            parents[int(pid)] = int(stat.read().rsplit(")", 1)[1].split()[1])
    jvm = sc._jvm.java.lang.ProcessHandle.current().pid()
    below, frontier = [], [jvm]
    while frontier:
        frontier = [p for p, parent in parents.items() if parent in frontier]
        below += frontier
    python = 0.0
    for pid in below:
        with contextlib.suppress(OSError, StopIteration):
            python += pss_of(pid)
    return pss_of(jvm), python


def quiet():
    for _ in range(3):
        sc._jvm.System.gc()
        time.sleep(0.3)


# The JVM's own code is warm before anything is measured: the question is the Python side.
spark.range(1000).selectExpr("sum(id)").collect()
quiet()
jvm_before, _ = tree()

start = time.perf_counter()
spark.range(1).select(add("id")).collect()
found["first UDF query, s"] = time.perf_counter() - start

one = spark.range(1).select(add("id"))
timed(one.collect, 10)
found["warm one-task query, ms"] = timed(one.collect, 30) * 1000
found["the same without Python, ms"] = timed(spark.range(1).selectExpr("id + 1").collect, 30) * 1000

frame = spark.range(0, rows, 1, tasks).select(add("id").alias("v"))


def through():
    frame.write.format("noop").mode("overwrite").save()


through()
found["pickled UDF x+1, M rows/s"] = rows / timed(through, 3) / 1e6

rdd = sc.range(0, 2 * rows, 1, tasks).map(lambda x: x + 1)
rdd.count()
found["RDD map and count, M rows/s"] = 2 * rows / timed(rdd.count, 3) / 1e6

text = spark.range(0, rows // 4, 1, tasks).selectExpr("cast(id as string) as s")
upper = udf(lambda s: s.replace("1", "one").upper(), "string", useArrow=False)


def strings():
    text.select(upper("s")).write.format("noop").mode("overwrite").save()


strings()
found["pickled UDF on strings, M rows/s"] = rows / 4 / timed(strings, 3) / 1e6

# Memory while two tasks run: what both modes have beyond a JVM that ran no Python.
quiet()
job = sc.parallelize(range(2), 2).mapPartitions(lambda it: (time.sleep(4), list(it))[1])
import threading  # noqa: E402

waiting = threading.Thread(target=job.count)
waiting.start()
time.sleep(2)
jvm_during, python_during = tree()
waiting.join()
found["Python processes, two tasks, MiB PSS"] = python_during
found["JVM growth, two tasks, MiB PSS"] = jvm_during - jvm_before
print("RESULT " + json.dumps(found), flush=True)
spark.stop()
