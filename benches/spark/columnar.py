"""One process, one mode: throughput of Arrow functions.  Prints a JSON object.  Started by bench.py."""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import sys
import tempfile
import time

import pandas as pd
from pyspark.sql import SparkSession, Window
from pyspark.sql.functions import arrow_udf, col, pandas_udf, udf, udtf
from turns import Turns

RUNS = 5
# Runs before: half a second each is over before the JVM has compiled what it computes. Slow queries need one.
WARM, WARM_SLOW = 5, 1

rows, tasks = int(sys.argv[1]), int(sys.argv[2])
only = sys.argv[3] if len(sys.argv) > 3 else ""
spark = SparkSession.builder.getOrCreate()
jvm = spark.sparkContext._jvm


@pandas_udf("double")
def pandas_add(x: pd.Series) -> pd.Series:
    return x + 1


@pandas_udf("string")
def pandas_append(s: pd.Series) -> pd.Series:
    return s + "1"


@pandas_udf("double")
def pandas_sum(a: pd.Series, b: pd.Series, c: pd.Series, d: pd.Series) -> pd.Series:
    return a + b + c + d


@pandas_udf("double")
def pandas_mean(x: pd.Series) -> float:
    return x.mean()


@arrow_udf("double")
def arrow_add(x):
    import pyarrow.compute as pc

    return pc.add(x, 1)


plain_add = udf(lambda x: x + 1, "long", useArrow=True)


@udtf(returnType="n long", useArrow=True)
class Echo:
    def eval(self, n):
        yield (n,)


def identity(batches):
    yield from batches


def center(group):
    return group.assign(x=group.x - group.x.mean())


doubles = spark.range(0, rows, 1, tasks).select(col("id").cast("double").alias("x"))
strings = spark.range(0, rows, 1, tasks).select(col("id").cast("string").alias("s"))
groups = spark.range(0, rows, 1, tasks).selectExpr("id % 1000 as k", "cast(id as double) as x")
quarter = spark.range(0, rows // 4, 1, tasks).selectExpr("id % 1000 as k", "cast(id as double) as x")
few = spark.range(0, rows // 50, 1, tasks).selectExpr("id % 100 as k", "cast(id as double) as x")


def lateral():
    spark.udtf.register("echo", Echo)
    spark.range(0, rows // 50, 1, tasks).createOrReplaceTempView("numbers")
    return spark.sql("select id, e.n from numbers, lateral echo(id) e")


def parquet():
    folder = os.path.join(tempfile.gettempdir(), f"davy-bench-parquet-{rows}")
    if not os.path.exists(os.path.join(folder, "_SUCCESS")):
        four = ", ".join(f"cast(id * {n} as double) as c{n}" for n in range(4))
        spark.range(0, rows, 1, tasks).selectExpr(*four.split(", ")).write.mode("overwrite").parquet(folder)
    return spark.read.parquet(folder)


CASES = {
    "pandas_udf x+1 on double": lambda: doubles.select(pandas_add("x")),
    "pandas_udf on short string": lambda: strings.select(pandas_append("s")),
    "arrow_udf x+1": lambda: doubles.select(arrow_add("x")),
    "mapInArrow identity": lambda: doubles.mapInArrow(identity, "x double"),
    "mapInPandas identity": lambda: doubles.mapInPandas(identity, "x double"),
    "plain Arrow @udf x+1": lambda: spark.range(0, rows, 1, tasks).select(plain_add("id")),
    "pandas_udf over Parquet, 4 columns": lambda: parquet().select(pandas_sum("c0", "c1", "c2", "c3")),
    "applyInPandas, 1,000 groups": lambda: groups.groupBy("k").applyInPandas(center, "k long, x double"),
    "grouped-agg pandas_udf, 1,000 groups": lambda: groups.groupBy("k").agg(pandas_mean("x")),
    "window pandas_udf of whole groups, 1,000 groups (rows / 4)": lambda: quarter.select(
        "x", pandas_mean("x").over(Window.partitionBy("k"))
    ),
    "window pandas_udf of 3 rows each (rows / 50)": lambda: few.select(
        "x", pandas_mean("x").over(Window.partitionBy("k").orderBy("x").rowsBetween(-1, 1))
    ),
    "lateral join with an Arrow @udtf (rows / 50)": lateral,
}


def processes() -> list[tuple[int, list[str]]]:
    """The JVM and everything below it: number and fields of /proc/PID/stat from the third on."""
    stats, below = {}, {jvm.java.lang.ProcessHandle.current().pid()}
    for other in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{other}/stat") as stat:
            stats[int(other)] = stat.read().rsplit(")", 1)[1].split()
    while more := {pid for pid, fields in stats.items() if int(fields[1]) in below} - below:
        below |= more
    return [(pid, stats[pid]) for pid in below & stats.keys()]


def cpu_seconds() -> float:
    """Also of those that have ended and were waited for."""
    ticks = sum(int(n) for _, fields in processes() for n in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def forget_peaks() -> None:
    """From here on the most that a process has resident counts anew (proc(5), clear_refs)."""
    for pid, _ in processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/clear_refs", "w") as refs:
            refs.write("5")


def peak_memory() -> float:
    """The most that each process had resident, summed, MiB."""
    peak = 0
    for pid, _ in processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
            peak += sum(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return peak / 1024


# Of Davy's nodes: the parts of a run's time, summed over its tasks.
PARTS = {
    "time to gather rows into batches": "rows to batches",
    "time to copy batches into the sandbox": "copies in",
    "CPU time in the sandbox": "function, in the sandbox",
    "time to copy batches out of the sandbox": "copies out",
    "time to validate batches of the sandbox": "validation",
    "time to write rows of batches": "batches to rows",
}
UNITS = {"ms": 1, "s": 1000, "m": 60_000}


def parts() -> dict[str, float]:
    """Milliseconds, of the last query; empty with stock."""
    seq = jvm.scala.jdk.javaapi.CollectionConverters.asJava
    jvm.org.apache.spark.sql.classic.SparkSession.active().sparkContext().listenerBus().waitUntilEmpty()
    store = spark._jsparkSession.sharedState().statusStore()
    query = list(seq(store.executionsList()))[-1].executionId()
    values, found = seq(store.executionMetrics(query)), {}
    for node in seq(store.planGraph(query).allNodes()):
        for metric in seq(node.metrics()):
            value = values.get(metric.accumulatorId())
            if node.name().startswith("Davy") and metric.name() in PARTS and value:
                number, unit = value.splitlines()[-1].split()[:2]
                part = PARTS[metric.name()]
                found[part] = found.get(part, 0) + float(number.replace(",", "")) * UNITS[unit]
    return found


found, most = {}, 0.0
turns = Turns()
for name, case in CASES.items():
    if only not in name:
        continue
    with turns.next():
        frame, took, used = case(), [], []
        forget_peaks()
    warm = WARM_SLOW if "rows / 50" in name else WARM
    for _ in range(warm + RUNS):
        with turns.next():
            start, cpu = time.perf_counter(), cpu_seconds()
            frame.write.format("noop").mode("overwrite").save()
            took.append(time.perf_counter() - start)
            used.append(cpu_seconds() - cpu)
    share = re.search(r"rows / (\d+)", name)
    count = rows // int(share[1]) if share else rows
    found[f"{name}, M rows/s"] = count / statistics.median(took[warm:]) / 1e6
    found[f"{name}, CPU s"] = statistics.median(used[warm:])
    found[f"{name}, most memory, MiB"] = peak_memory()
    most = max(most, found[f"{name}, most memory, MiB"])
    found[f"{name}, runs"] = {"s": took[warm:], "CPU s": used[warm:]}
    if shares := parts():
        found[f"{name}, parts"] = shares | {"all": took[-1] * 1000}
found["most resident memory in all, MiB"] = most
print("RESULT " + json.dumps(found), flush=True)
spark.stop()
