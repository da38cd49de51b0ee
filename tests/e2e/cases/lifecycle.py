"""Tasks that are retried, raced and run many at once."""

import time

from pyspark import TaskContext
from pyspark.sql.functions import udf

from harness.registry import case


@case("retry", cluster=True)
def failed_attempt_is_retried(spark):
    """Counts only on a cluster: local mode never retries, and fails the same way everywhere."""

    def work(rows):
        context = TaskContext.get()
        if context.partitionId() == 1 and context.attemptNumber() == 0:
            raise ValueError("first attempt")
        return [(context.partitionId(), context.attemptNumber(), sum(rows))]

    return spark.sparkContext.parallelize(range(12), 3).mapPartitions(work).collect()


@case("retry", cluster=True)
def gives_up_after_max_failures(spark):
    def work(rows):
        raise ValueError("always")

    return spark.sparkContext.parallelize(range(4), 1).mapPartitions(work).collect()


@case("retry", cluster=True)
def accumulator_counts_a_retried_task_once(spark):
    seen = spark.sparkContext.accumulator(0)

    def work(rows):
        for row in rows:
            seen.add(1)
            yield row
        if TaskContext.get().attemptNumber() == 0 and TaskContext.get().partitionId() == 0:
            raise ValueError("late")

    return [spark.sparkContext.parallelize(range(12), 3).mapPartitions(work).count(), seen.value]


@case("speculation", cluster=True, seconds=90)
def speculative_copies(spark):
    def work(rows):
        context = TaskContext.get()
        if context.partitionId() == 0 and context.attemptNumber() == 0:
            time.sleep(4)
        return [sum(rows)]

    rdd = spark.sparkContext.parallelize(range(40), 8)
    return [rdd.mapPartitions(work).collect() for _ in range(2)]


@case()
def two_jobs_at_once(spark):
    from concurrent.futures import ThreadPoolExecutor

    sc = spark.sparkContext

    def job(n):
        f = udf(lambda x: x * n, "long", useArrow=False)
        frame = spark.range(0, 2000, 1, 3).select(f("id").alias("v"))
        return sc.parallelize(range(n * 100), 3).map(lambda x: x + n).sum(), frame.groupBy().sum("v").first()[0]

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(job, range(1, 5)))


@case()
def a_task_that_reads_nothing_of_its_input(spark):
    rdd = spark.sparkContext.parallelize(range(200_000), 2)
    return [
        rdd.mapPartitions(lambda rows: [1]).collect(),
        rdd.mapPartitions(lambda rows: []).count(),
        rdd.mapPartitions(lambda rows: [next(iter(rows))]).collect(),
    ]


@case()
def output_before_input(spark):
    """More output than the channel can hold, before the input is read."""

    def work(rows):
        for _ in range(300):
            yield b"x" * 10_000
        yield sum(rows)

    got = spark.sparkContext.parallelize(range(100_000), 1).mapPartitions(work).collect()
    return [len(got), got[-1]]


@case()
def chained_python_stages(spark):
    rdd = spark.sparkContext.parallelize(range(100), 3)
    for i in range(8):
        rdd = rdd.map(lambda x, i=i: x + i).repartition(2 + i % 3)
    return rdd.sum()


@case()
def python_inside_python(spark):
    """A cached Python RDD read by another: two workers of one task at once."""
    cached = spark.sparkContext.parallelize(range(1000), 2).map(lambda x: x + 1).cache()
    f = udf(lambda x: x * 2, "long", useArrow=False)
    g = udf(lambda x: x + 0.5, "double", useArrow=False)
    frame = spark.createDataFrame(cached.map(lambda x: (x,)), "v long")
    out = frame.select(f("v").alias("v")).where("v > 10").select(g("v").alias("w")).groupBy().sum("w").first()[0]
    cached.unpersist()
    return [cached.count(), out]


@case("default", "no_reuse")
def environment_of_the_worker(spark):
    def look(_):
        import os

        keys = ("SPARK_REUSE_WORKER", "PYTHON_UDF_BATCH_SIZE", "PYTHONHASHSEED", "SPARK_BUFFER_SIZE")
        return {k: os.environ.get(k) for k in keys}

    return spark.sparkContext.parallelize([0], 1).map(look).collect()


@case()
def argv_and_modules(spark):
    def look(_):
        import sys

        return "pyspark" in sys.modules, __name__, sys.flags.optimize, sys.getrecursionlimit()

    return spark.sparkContext.parallelize([0], 1).map(look).collect()
