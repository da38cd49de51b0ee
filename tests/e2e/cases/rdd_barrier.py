"""Barrier stages of RDDs, and jobs whose files and broadcasts are encrypted."""

import operator

from pyspark import BarrierTaskContext, TaskContext
from pyspark.sql.functions import pandas_udf, udf

from cases.attempts import attempt
from harness.registry import case


@case(cluster=True)
def all_gather(spark):
    def meet(rows):
        context = BarrierTaskContext.get()
        text = f"{context.partitionId()}: {sum(rows)} é"
        yield context.partitionId(), context.allGather(text), context.allGather("")

    return sorted(spark.sparkContext.parallelize(range(10), 2).barrier().mapPartitions(meet).collect())


@case(cluster=True)
def barriers_one_after_the_other(spark):
    def meet(rows):
        context = BarrierTaskContext.get()
        seen = []
        for step in range(4):
            context.barrier()
            seen += context.allGather(f"{step}")
        yield seen

    return spark.sparkContext.parallelize(range(4), 2).barrier().mapPartitions(meet).collect()


@case()
def later_waits_for_the_earlier(spark):
    def meet(rows):
        import time

        context = BarrierTaskContext.get()
        if context.partitionId() == 0:
            time.sleep(0.4)
        started = time.monotonic()
        context.barrier()
        yield context.partitionId() == 0 or time.monotonic() - started > 0.1

    return spark.sparkContext.parallelize(range(2), 2).barrier().mapPartitions(meet).collect()


@case()
def what_a_task_knows(spark):
    def look(index, rows):
        context = BarrierTaskContext.get()
        infos = context.getTaskInfos()
        same = type(TaskContext.get()).__name__
        yield index, same, len(infos), all(i.address for i in infos), context.attemptNumber(), list(rows)

    return sorted(spark.sparkContext.parallelize("abcd", 2).barrier().mapPartitionsWithIndex(look).collect())


@case()
def after_a_shuffle(spark):
    def meet(rows):
        context = BarrierTaskContext.get()
        total = sum(v for _, v in rows)
        yield sum(map(int, context.allGather(str(total))))

    pairs = spark.sparkContext.parallelize([(i % 3, i) for i in range(12)], 3)
    return pairs.reduceByKey(operator.add, 2).barrier().mapPartitions(meet).collect()


@case()
def error_in_one_task(spark):
    def fail(rows):
        context = BarrierTaskContext.get()
        if context.partitionId() == 1:
            raise ValueError("nö")
        yield context.partitionId()

    try:
        return spark.sparkContext.parallelize(range(2), 2).barrier().mapPartitions(fail).collect()
    except Exception as e:
        return [
            type(e).__name__,
            "ValueError: nö" in str(e),
            "Could not recover from a failed barrier ResultStage" in str(e),
        ]


@case("barrier")
def more_tasks_than_slots(spark):
    many = spark.sparkContext.parallelize(range(6), 6).barrier()
    out = attempt(lambda: many.mapPartitions(lambda rows: rows).collect())
    return "more slots" in out


@case()
def outside_of_a_barrier(spark):
    def look(_):
        try:
            BarrierTaskContext.get().barrier()
        except Exception as e:
            return f"{type(e).__name__}: {e}"

    return spark.sparkContext.parallelize([0], 1).map(look).collect()


@case()
def in_a_udf_of_a_barrier_query(spark):
    inc = udf(lambda x: x + 1, "long", useArrow=False)

    def meet(batches):
        context = BarrierTaskContext.get()
        context.barrier()
        yield from batches

    frame = spark.range(0, 6, 1, 2).select(inc("id").alias("id"))
    return sorted(frame.mapInArrow(meet, "id long", barrier=True).collect())


@case("encrypted", cluster=True)
def encrypted_broadcast(spark):
    sc = spark.sparkContext
    small, large = sc.broadcast({"a": 1, "é": None}), sc.broadcast(list(range(50_000)))
    return sc.parallelize(range(4), 2).map(lambda i: (small.value, large.value[i * 1000], len(large.value))).collect()


@case("encrypted")
def encrypted_broadcast_in_udfs(spark):
    rates = spark.sparkContext.broadcast({i: i * 1.5 for i in range(1000)})
    plain = udf(lambda x: rates.value[x], "double", useArrow=False)
    arrow = udf(lambda x: rates.value[x], "double", useArrow=True)
    pandas = pandas_udf(lambda s: s.map(rates.value), "double")
    return spark.range(0, 5, 1, 2).select(plain("id"), arrow("id"), pandas("id")).collect()


@case("encrypted")
def encrypted_closure_over_a_megabyte(spark):
    # A function this large travels as a broadcast of its own.
    table = list(range(400_000))
    return spark.sparkContext.parallelize([0, 399_999], 2).map(lambda i: table[i]).collect()


@case("encrypted")
def encrypted_shuffle_and_sort(spark):
    pairs = spark.sparkContext.parallelize([(i % 7, i) for i in range(700)], 3)
    return [sorted(pairs.reduceByKey(operator.add).collect()), pairs.sortBy(lambda p: -p[1]).take(3)]


@case("encrypted")
def encrypted_parallelize_and_collect(spark):
    return [
        spark.sparkContext.parallelize([b"x" * 1000] * 300, 2).map(len).sum(),
        list(spark.range(5).rdd.toLocalIterator()),
    ]


@case("encrypted")
def encrypted_groups(spark):
    pairs = spark.sparkContext.parallelize(range(20_000), 2).map(lambda i: (i % 5000, "x" * 50))
    return pairs.groupByKey().mapValues(len).map(operator.itemgetter(1)).countByValue()


@case("encrypted")
def encrypted_unpersist_and_destroy(spark):
    kept = spark.sparkContext.broadcast("é")
    first = spark.sparkContext.parallelize([0], 1).map(lambda _: kept.value).collect()
    kept.unpersist()
    return [first, spark.sparkContext.parallelize([0], 1).map(lambda _: kept.value * 2).collect()]
