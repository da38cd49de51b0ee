"""RDDs at their edges: partitions without a row, several RDDs at once, seeds, and barriers of encrypted jobs."""

import operator

from pyspark import BarrierTaskContext

from cases.attempts import attempts
from harness.registry import case


def few(spark, rows=2, parts=3):
    """Pairs with more partitions than rows."""
    return spark.sparkContext.parallelize([(i % 2, i) for i in range(rows)], parts)


@case(cluster=True, seconds=300)
def partitions_without_rows(spark):
    pairs, none = few(spark), few(spark, 0)
    emptied = pairs.filter(lambda kv: kv[1] > 99)
    return {
        "sorted": [p.sortByKey().collect() for p in (pairs, none, emptied)],
        "sorted down": pairs.sortByKey(False, 3, lambda k: -k).glom().collect(),
        "sorted by": [p.sortBy(lambda kv: kv[1], numPartitions=3).collect() for p in (pairs, emptied)],
        "aggregated": [
            sorted(p.aggregateByKey([], lambda a, v: [*a, v], operator.add, 5).collect())
            for p in (pairs, none, emptied)
        ],
        "cogrouped": sorted((k, sorted(a), sorted(b)) for k, (a, b) in pairs.cogroup(emptied, 3).collect()),
        "of nothing": none.cogroup(emptied).collect(),
        "ids": [p.zipWithUniqueId().collect() for p in (pairs, none)],
        "indices": [p.zipWithIndex().collect() for p in (pairs, none)],
        "sampled": [p.takeSample(False, 2, 5) for p in (pairs, emptied)],
        "sampled again and again": [pairs.takeSample(True, 7, seed) for seed in (1, 1, 2)],
        "ranged": pairs.repartitionAndSortWithinPartitions(4, lambda k: k % 3).glom().collect(),
        "joined": sorted(pairs.leftOuterJoin(emptied).collect()),
        "folded": [emptied.foldByKey(0, operator.add).collect(), emptied.map(str).fold("é", operator.add)],
        "tree": pairs.values().treeReduce(operator.add, 3),
    }


@case()
def of_nothing_at_all(spark):
    none = few(spark, 0)
    return attempts({
        "reduce": lambda: none.values().reduce(operator.add), "max": lambda: none.max(), "first": lambda: none.first(),
        "mean": lambda: none.values().mean(), "histogram": lambda: none.values().histogram(3),
        "tree": lambda: none.values().treeReduce(operator.add), "sum": lambda: none.values().sum(),
        "top": lambda: none.top(2), "count": lambda: none.countByKey(), "lookup": lambda: none.lookup(1),
        "zip": lambda: none.zip(few(spark)).collect(), "approximate": lambda: none.countApproxDistinct(),
    })  # fmt: skip


@case("default", "no_aqe")
def several_at_once(spark):
    sc = spark.sparkContext
    first = sc.parallelize([("a", 1), ("b", None), ("é", 3)], 2)
    second = sc.parallelize([("a", "x"), ("c", "y")], 3)
    third = sc.parallelize([("é", [1]), ("a", [2]), ("a", [3])], 1)
    return [
        sorted((k, [sorted(map(str, v)) for v in vs]) for k, vs in first.groupWith(second, third).collect()),
        sorted(sc.union([first, second, third]).keys().countByValue().items()),
        sorted(first.fullOuterJoin(second).fullOuterJoin(third).mapValues(str).collect()),
        first.zip(first.mapValues(str)).zipWithUniqueId().mapPartitionsWithIndex(lambda i, r: [(i, list(r))]).collect(),
        sorted(first.cartesian(second).filter(lambda p: p[0][0] == p[1][0]).collect()),
        first.keyBy(lambda kv: len(kv[0])).partitionBy(2, lambda k: k + 1).glom().collect(),
        sorted(third.flatMapValues(lambda v: v * 2).subtractByKey(second).collect()),
    ]


@case()
def checkpoints(spark):
    calls = spark.sparkContext.accumulator(0)

    def once(x):
        calls.add(1)
        return x * 2

    rdd = spark.sparkContext.parallelize(range(6), 3).map(once)
    rdd.localCheckpoint()
    return [rdd.collect(), rdd.map(str).collect(), calls.value, rdd.isLocallyCheckpointed()]


@case("encrypted", since="4.1", cluster=True)
def encrypted_barrier(spark):
    """Messages between tasks, a broadcast and a shuffle in one encrypted job."""
    shared = spark.sparkContext.broadcast({i: f"é{i}" * 1000 for i in range(200)})

    def meet(rows):
        context = BarrierTaskContext.get()
        context.barrier()
        texts = [shared.value[k] for k, _ in rows]
        told = context.allGather(f"{context.partitionId()} é {len(texts)}")
        yield context.partitionId(), told, len(context.allGather("x" * 100_000)), sum(map(len, texts))

    pairs = spark.sparkContext.parallelize([(i % 20, i) for i in range(60)], 3).reduceByKey(operator.add, 2)
    return sorted(pairs.barrier().mapPartitions(meet).collect())


@case("encrypted", since="4.1")
def encrypted_barrier_of_frames(spark):
    def meet(frames):
        context = BarrierTaskContext.get()
        for f in frames:
            yield f.assign(told=" ".join(context.allGather(f"{len(f)}")))

    frame = spark.range(0, 7, 1, 2).mapInPandas(meet, "id long, told string", barrier=True)
    return sorted(frame.collect())
