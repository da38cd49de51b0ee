"""Sandboxes in Spark's books: gauges of the executor, peak memory of tasks, and memory charged off-heap."""

from __future__ import annotations

import json

import pytest

from harness import launch
from harness.launch import DAVY

VERSIONS = ["4.3.0", "4.0.1"]
OFF_HEAP = {"spark.memory.offHeap.enabled": "true", "spark.memory.offHeap.size": "400m"}
CHARGED = {"spark.davy.memory.charge": "true"} | OFF_HEAP
MIB = 1 << 20

# Prints a JSON object: the result of each job, or its error.
JOB = """
import json, sys, time
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf, udf

spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext

def of_size(mib):
    def run(part):
        held = bytearray(mib << 20)
        return [len(held) >> 20, sum(part)]
    return run

def grows(part):
    held, met = [], None
    try:
        while True:
            held.append(bytearray(8 << 20))
    except MemoryError as e:
        met = len(held) * 8
        del held
    return [met, len(bytearray(8 << 20)) >> 20]

def broken(part):
    held = bytearray(100 << 20)
    raise ValueError("on purpose")

def greedy(part):
    list(part)
    held = []
    while True:
        held.append(bytearray(8 << 20))

@pandas_udf("long")
def more(n):
    return n + 1

def kept(mib):
    # One batch, of which the guest gets the numbers only: the text waits on the host for the results.
    for limit in ("maxRecordsPerBatch", "maxBytesPerBatch"):
        spark.conf.set(f"spark.sql.execution.arrow.{limit}", {"maxRecordsPerBatch": 0}.get(limit, "2147483647"))
    rows = spark.range(0, mib, 1, 1).selectExpr("id", "repeat('x', cast((1 << 20) + id as int)) as t").repartition(1)
    sums = rows.select(more("id").alias("n"), "t").selectExpr("sum(n)", "sum(length(t)) >> 20")
    return list(sums.collect()[0])

JOBS = {
    "kept": lambda: kept(80),
    "much": lambda: kept(500),
    "large": lambda: sc.parallelize(range(4), 1).mapPartitions(of_size(120)).collect(),
    "small": lambda: sc.parallelize(range(4), 1).mapPartitions(of_size(1)).collect(),
    "grows": lambda: sc.parallelize(range(4), 1).mapPartitions(grows).collect(),
    "greedy": lambda: sc.parallelize(range(4), 1).mapPartitions(greedy).collect(),
    "broken": lambda: sc.parallelize(range(4), 1).mapPartitions(broken).collect(),
    "twice": lambda: sc.parallelize(range(4), 2).mapPartitions(of_size(60)).collect(),
    "sorted": lambda: [spark.range(300000).selectExpr("uuid() as u", "id").sort("u")
        .select(udf(lambda i: i + 1, "long")("id").alias("v")).selectExpr("sum(v)").collect()[0][0]],
}
found = {}
for name in sys.argv[1:]:
    sc.setJobDescription(name)
    try:
        result = JOBS[name.split()[0]]()
    except Exception as e:
        result = str(e)
    found[name] = {"result": result}
time.sleep(2.5)  # the sink's turn
print("RESULT " + json.dumps(found))
spark.stop()
"""


def run(folder, version, *jobs, **conf):
    """What each job came to, with the metrics of its last task from Spark's event log."""
    (folder / "job.py").write_text(JOB)
    for name in ("events", "gauges"):
        (folder / name).mkdir()
    settings = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.dir": f"file://{folder}/events",
        "spark.task.maxFailures": "1",
        "spark.unsafe.exceptionOnMemoryLeak": "true",
        "spark.log.level": "WARN",
        "spark.metrics.conf.*.sink.csv.class": "org.apache.spark.metrics.sink.CsvSink",
        "spark.metrics.conf.*.sink.csv.directory": f"{folder}/gauges",
        "spark.metrics.conf.*.sink.csv.period": "1",
    } | launch.quick_conf(version)
    env = launch.environment(version, DAVY, "local[2]", settings | conf, extra=launch.QUICK_ENV)
    argv = [str(launch.venv(f"spark-{version}") / "bin/python"), "job.py", *jobs]
    done = launch.run_program(argv, env, folder / "log.txt", 300)
    lines = [line[7:] for line in done.log.splitlines() if line.startswith("RESULT ")]
    assert lines, done.log[-4000:]
    assert "Managed memory leak" not in done.log
    found, stages = json.loads(lines[0]), {}
    (events,) = (folder / "events").iterdir()
    for event in map(json.loads, events.read_text().splitlines()):
        if event["Event"] == "SparkListenerStageSubmitted":
            stages[event["Stage Info"]["Stage ID"]] = event["Properties"].get("spark.job.description")
        if event["Event"] == "SparkListenerTaskEnd":
            found[stages[event["Stage ID"]]].setdefault("tasks", []).append(event.get("Task Metrics") or {})
    return found


def gauges(folder):
    """The values of Davy's gauges, each time that a sink looked at all of them."""
    columns = {}
    for file in (folder / "gauges").glob("*plugin.davy.DavyPlugin.*.csv"):
        rows = file.read_text().splitlines()[1:]
        columns[file.stem.split(".DavyPlugin.")[1]] = [int(row.split(",")[1]) for row in rows]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=False)]


def peaks(job, what="Peak Execution Memory"):
    return [task.get(what, 0) for task in job["tasks"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_peak_of_a_task_is_its_sandboxs(tmp_path, version):
    found = run(tmp_path, version, "large", "small")
    large, small = found["large"], found["small"]
    assert large["result"] == [120, 6]
    assert small["result"] == [1, 6]
    assert 120 * MIB <= peaks(large)[0] < 220 * MIB
    # The reused sandbox has what it has grown to; a memory never shrinks.
    assert 120 * MIB <= peaks(small)[0] <= peaks(large)[0] + 4 * MIB
    # Not charged.
    assert peaks(large, "Peak Off Heap Execution Memory") == [0]
    looks = gauges(tmp_path)
    assert any(rests(seen) for seen in looks), looks


def rests(seen):
    """Whether the gauges show the reused sandbox at rest, and some that were started ahead of tasks to come."""
    return (
        seen["sandboxes.idle"] == seen["sandboxes.live"] >= 1
        and 120 * MIB <= seen["sandboxes.ownBytes"] < 300 * MIB
        and 10 * MIB < seen["snapshots.workerBytes"] < 200 * MIB
        and not any(seen[n] for n in ("snapshots.job", "snapshots.jobBytes", "batches.held", "batches.heldBytes"))
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_charged_memory_is_sparks(tmp_path, version):
    found = run(
        tmp_path, version, "large", "grows", "small", "broken", "twice", "sorted", "greedy", "grows again", **CHARGED
    )
    assert found["large"]["result"] == [120, 6]
    for what in ("Peak Execution Memory", "Peak Off Heap Execution Memory"):
        if what in found["large"]["tasks"][0]:
            assert 120 * MIB <= peaks(found["large"], what)[0] <= 400 * MIB, what
    # Spark refuses before spark.davy.memory (2 GiB) would; the task lives on with less.
    met, after = found["grows"]["result"]
    assert 200 <= met <= 400 and after == 8
    assert "ValueError: on purpose" in found["broken"]["result"]
    assert found["twice"]["result"] == [60, 1, 60, 5]
    assert found["sorted"]["result"] == [300000 * 300001 // 2]
    told = found["greedy"]["result"]
    for part in (
        "MemoryError",
        "Spark's memory manager refused memory for the sandbox: 3",
        "and spark.memory.offHeap.size is 400.0 MB for all tasks of the executor (spark.davy.memory.charge is on)",
        "raise spark.memory.offHeap.size or spark.davy.memory",
    ):
        assert part in told, told
    # Whatever became of the tasks, nothing stays charged.
    assert found["grows again"]["result"][0] >= met - 32


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("charged", [False, True])
def test_batches_outside_of_the_sandbox_are_in_sparks_books(tmp_path, version, charged):
    # A task whose batch finds no memory has none of it charged afterwards.
    jobs = ["kept", "much", "kept again"] if charged else ["kept"]
    found = run(tmp_path, version, *jobs, **(CHARGED if charged else {}))
    for name in {"kept", "kept again"} & set(jobs):
        assert found[name]["result"] == [81 * 40, 80]
        assert 80 * MIB <= max(peaks(found[name])) < 250 * MIB
    if any("Peak Off Heap Execution Memory" in task for task in found["kept"]["tasks"]):
        assert (max(peaks(found["kept"], "Peak Off Heap Execution Memory")) >= 80 * MIB) == charged
    if charged:
        told = found["much"]["result"]
        for part in (
            "Spark's memory manager refused memory for Arrow batches: ",
            "and spark.memory.offHeap.size is 400.0 MB for all tasks of the executor (spark.davy.memory.charge is on)",
            "Give the task less data (more partitions)",
        ):
            assert part in told, told


def test_charging_needs_off_heap_memory(tmp_path):
    conf = {"spark.davy.memory.charge": "true"}
    env = launch.environment(
        VERSIONS[0], DAVY, "local[1]", conf | launch.quick_conf(VERSIONS[0]), extra=launch.QUICK_ENV
    )
    (tmp_path / "job.py").write_text("from pyspark.sql import SparkSession; SparkSession.builder.getOrCreate()")
    done = launch.run_program(
        [str(launch.venv("spark-4.3.0") / "bin/python"), "job.py"], env, tmp_path / "log.txt", 120
    )
    assert done.code != 0
    assert "set spark.memory.offHeap.enabled=true and spark.memory.offHeap.size" in done.log, done.log[-3000:]
