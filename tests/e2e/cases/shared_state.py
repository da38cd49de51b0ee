"""Accumulators, broadcasts and what a task knows about itself."""

import functools
import operator

from pyspark import AccumulatorParam, TaskContext
from pyspark.sql.functions import col, udf

from harness.registry import case


class VectorParam(AccumulatorParam):
    def zero(self, value):
        return [0] * len(value)

    def addInPlace(self, a, b):
        return [x + y for x, y in zip(a, b, strict=True)]


class SetParam(AccumulatorParam):
    def zero(self, value):
        return set()

    def addInPlace(self, a, b):
        a |= b if isinstance(b, set) else {b}
        return a


@case("default", "no_reuse", cluster=True)
def accumulators(spark):
    sc = spark.sparkContext
    ints, floats, late = sc.accumulator(0), sc.accumulator(0.5), sc.accumulator(10)
    vector, names = sc.accumulator([0, 0, 0], VectorParam()), sc.accumulator(set(), SetParam())

    def work(x):
        nonlocal ints
        ints += x
        floats.add(x / 4)
        vector.add([1, x, x * x])
        names.add(f"né{x % 3}")
        return x

    rdd = sc.parallelize(range(100), 5).map(work)
    first = rdd.count()
    sc.parallelize([]).foreach(lambda x: late.add(x))
    return [first, ints.value, floats.value, vector.value, names.value, late.value]


@case()
def accumulator_in_udf(spark):
    bad = spark.sparkContext.accumulator(0)

    @udf("int", useArrow=False)
    def parse(s):
        try:
            return int(s)
        except ValueError:
            bad.add(1)
            return None

    rows = spark.createDataFrame([("1",), ("x",), ("３",), ("",), ("5",)], "s string").select(parse("s")).collect()
    return [rows, bad.value]


@case()
def accumulator_read_in_a_task(spark):
    total = spark.sparkContext.accumulator(1)
    return spark.sparkContext.parallelize([1]).map(lambda _: total.value).collect()


@case("default", "no_reuse", cluster=True)
def small_broadcasts(spark):
    sc = spark.sparkContext
    table = sc.broadcast({"é": 1, "b": [1, 2, {"c": None}]})
    factor = sc.broadcast(7)
    first = sc.parallelize(["é", "b", "z"], 3).map(lambda k: (k, table.value.get(k), factor.value)).collect()
    fn = sc.broadcast(functools.partial(operator.mul, 3))
    second = sc.parallelize(range(4), 2).map(lambda x: fn.value(x) + factor.value).collect()
    factor.destroy()
    third = sc.parallelize(["b"], 1).map(lambda k: len(table.value[k])).collect()
    return [first, second, third]


@case("default", "no_reuse")
def unpersisted_broadcast(spark):
    """Used again after its copies were dropped; on a cluster stock itself may find no file then."""
    sc = spark.sparkContext
    table = sc.broadcast({"é": 1})
    first = sc.parallelize(["é"], 1).map(lambda k: table.value[k]).collect()
    table.unpersist(blocking=True)
    return [first, sc.parallelize(["é"], 1).map(lambda k: table.value[k]).collect()]


@case(cluster=True)
def broadcast_in_udf(spark):
    names = spark.sparkContext.broadcast({i: f"näme{i}" for i in range(1000)})

    @udf("string", useArrow=False)
    def name(i):
        return names.value.get(i)

    return spark.range(998, 1002).select(name("id")).collect()


@case(cluster=True, seconds=120)
def broadcast_of_100_mb(spark):
    payload = [bytes([i]) * 1_000_000 for i in range(100)]
    big = spark.sparkContext.broadcast(payload)
    try:
        rdd = spark.sparkContext.parallelize(range(100), 4)
        return rdd.map(lambda i: (len(big.value), big.value[i][-1] == i)).distinct().collect()
    finally:
        big.destroy()


@case()
def broadcast_of_many_objects(spark):
    table = spark.sparkContext.broadcast({f"key{i}": (i, float(i), [i]) for i in range(200_000)})
    rdd = spark.sparkContext.parallelize(range(0, 200_000, 20_000), 4)
    return rdd.map(lambda i: table.value[f"key{i}"]).collect()


@case("default", "no_reuse", cluster=True)
def task_context(spark):
    sc = spark.sparkContext
    sc.setLocalProperty("davy.test.property", "vàlue")

    def look(rows):
        context = TaskContext.get()
        yield (
            context.partitionId(),
            context.attemptNumber(),
            context.cpus(),
            context.resources(),
            context.getLocalProperty("davy.test.property"),
            context.getLocalProperty("absent.property"),
            isinstance(context.taskAttemptId(), int),
            isinstance(context.stageId(), int),
            sum(rows),
        )

    try:
        return sc.parallelize(range(10), 3).mapPartitions(look).collect()
    finally:
        sc.setLocalProperty("davy.test.property", None)


@case()
def task_context_in_udf(spark):
    @udf("string", useArrow=False)
    def look(_):
        context = TaskContext.get()
        return f"{context.partitionId()}/{context.attemptNumber()}"

    return spark.range(0, 6, 1, 3).select(look("id")).collect()


@case()
def state_of_modules_between_tasks(spark):
    """One worker may serve many tasks: what a task may count on is only its own."""

    def twice(rows):
        import json

        rows = list(rows)
        json.dumps(rows)
        yield operator.length_hint(rows)

    sc = spark.sparkContext
    return [sc.parallelize(range(8), 8).mapPartitions(twice).sum() for _ in range(3)]


@case()
def random_is_not_the_same_in_each_task(spark):
    """Unseeded randomness must differ between tasks, wherever they started from."""

    def draw(_):
        import os
        import random
        import uuid

        return [(random.random(), os.urandom(8), uuid.uuid4().hex)]

    drawn = spark.sparkContext.parallelize(range(8), 8).mapPartitions(draw).collect()
    return [len({d[i] for d in drawn}) for i in range(3)]


@case()
def clocks_go_forward(spark):
    def look(_):
        import datetime
        import time

        before, started = time.time(), time.monotonic()
        time.sleep(0.05)
        return [
            0.04 < time.monotonic() - started < 5,
            0.04 < time.time() - before < 5,
            time.perf_counter_ns() > 0,
            datetime.datetime.now().year >= 2024,
        ]

    return spark.sparkContext.parallelize([0], 1).map(look).collect()


@case()
def mixed_python_and_jvm(spark):
    @udf("long", useArrow=False)
    def plus(x):
        return x + 1

    df = spark.range(0, 1000, 1, 4).withColumn("k", col("id") % 10)
    counted = df.groupBy("k").count().withColumn("n", plus("count")).where(plus("n") > 100)
    through = counted.rdd.map(lambda r: (r.k, r.n)).toDF(["k", "n"]).join(df.select("k").distinct(), "k")
    return through.select("k", plus("n").alias("m")).orderBy("k").collect()
