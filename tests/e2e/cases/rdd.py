"""The RDD interface, with the kinds of closures that real programs use."""

import collections
import dataclasses
import functools
import math
import operator
import os
import shutil
import tempfile

from harness.registry import case

WORDS = (
    "the quick brown fox jumps over the lazy dog über naïve 東京 the fox Ωmega \U0001f600 smile\n"
    "la línea número dos está aquí\n\nthe end"
).split("\n")


class Money:
    """A class of the driver's script, pickled by value."""

    def __init__(self, cents):
        self.cents = cents

    def __add__(self, other):
        return Money(self.cents + other.cents)

    def __repr__(self):
        return f"Money({self.cents})"


@dataclasses.dataclass(frozen=True, order=True)
class Trade:
    symbol: str
    price: float
    size: int = 1

    @property
    def value(self):
        return self.price * self.size


Point = collections.namedtuple("Point", "x y")


def scale(factor, value):
    return factor * value


@case(cluster=True)
def map_filter(spark):
    rdd = spark.sparkContext.parallelize(range(1000), 4)
    return rdd.map(lambda x: x * x).filter(lambda x: x % 3 == 0).sum()


@case("default", "no_reuse", cluster=True)
def word_count(spark):
    lines = spark.sparkContext.parallelize(WORDS, 3)
    counts = lines.flatMap(lambda line: line.split()).map(lambda w: (w.lower(), 1)).reduceByKey(operator.add)
    return counts.sortByKey().collect()


@case()
def map_partitions(spark):
    def running(rows):
        total = 0
        for row in rows:
            total += row
            yield total

    return spark.sparkContext.parallelize(range(50), 5).mapPartitions(running).collect()


@case()
def map_partitions_with_index(spark):
    rdd = spark.sparkContext.parallelize("abcdefghij", 4)
    return rdd.mapPartitionsWithIndex(lambda i, rows: [(i, list(rows))]).collect()


@case("default", "no_aqe", cluster=True)
def joins(spark):
    sc = spark.sparkContext
    left = sc.parallelize([(k % 5, f"l{k}") for k in range(10)], 3)
    right = sc.parallelize([(k, f"r{k}") for k in range(3, 8)], 2)
    return {
        "join": sorted(left.join(right).collect()),
        "left": sorted(left.leftOuterJoin(right).collect(), key=repr),
        "right": sorted(left.rightOuterJoin(right).collect(), key=repr),
        "full": sorted(left.fullOuterJoin(right).collect(), key=repr),
        "cogroup": sorted((k, sorted(a), sorted(b)) for k, (a, b) in left.cogroup(right).collect()),
        "subtract": sorted(left.subtractByKey(right).collect()),
    }


@case()
def by_key(spark):
    pairs = spark.sparkContext.parallelize([(i % 7, i) for i in range(200)], 4)
    return {
        "group": sorted((k, sorted(v)) for k, v in pairs.groupByKey().collect()),
        "aggregate": sorted(
            pairs.aggregateByKey((0, 0), lambda a, v: (a[0] + v, a[1] + 1), lambda a, b: (a[0] + b[0], a[1] + b[1]))
            .mapValues(lambda a: a[0] / a[1])
            .collect()
        ),
        "fold": sorted(pairs.foldByKey(1, operator.mul).mapValues(lambda v: v % 1000003).collect()),
        "combine": sorted(
            (k, sorted(v))
            for k, v in pairs.combineByKey(lambda v: {v % 3}, lambda s, v: s | {v % 3}, operator.or_).collect()
        ),
        "count": sorted(pairs.countByKey().items()),
    }


@case()
def sort_and_take(spark):
    rdd = spark.sparkContext.parallelize([(i * 7919) % 1009 for i in range(1009)], 6)
    return [
        rdd.sortBy(lambda x: -x, numPartitions=3).take(5),
        rdd.takeOrdered(5),
        rdd.takeOrdered(3, key=lambda x: -x),
        rdd.top(4),
        rdd.first(),
        rdd.sortBy(str).collect()[:5],
        rdd.max(),
        rdd.min(key=lambda x: abs(x - 500)),
    ]


@case()
def distinct_zip_sets(spark):
    sc = spark.sparkContext
    left, right = sc.parallelize([1, 2, 2, 3, 3, 3], 2), sc.parallelize([3, 4, 4], 2)
    return [
        sorted(left.distinct().collect()),
        left.zip(left.map(str)).collect(),
        left.zipWithIndex().collect(),
        left.zipWithUniqueId().collect(),
        sorted(left.union(right).collect()),
        sorted(left.intersection(right).collect()),
        sorted(left.subtract(right).collect()),
        sorted(left.cartesian(right).collect()),
        [sorted(part) for part in left.glom().collect()],
    ]


@case()
def seeded_samples(spark):
    rdd = spark.sparkContext.parallelize(range(2000), 4)
    pairs = rdd.map(lambda x: (x % 3, x))
    return [
        rdd.sample(False, 0.02, 7).collect(),
        rdd.sample(True, 0.02, 7).collect(),
        rdd.takeSample(False, 10, 11),
        [part.count() for part in rdd.randomSplit([1, 2, 3], 5)],
        pairs.sampleByKey(False, {0: 0.01, 1: 0.02, 2: 0.0}, 3).collect(),
    ]


@case()
def statistics(spark):
    rdd = spark.sparkContext.parallelize([math.sin(i) * 100 for i in range(500)], 4)
    stats = rdd.stats()
    return [
        [stats.count(), round(stats.mean(), 9), round(stats.stdev(), 9), stats.max(), stats.min()],
        rdd.histogram(5),
        round(rdd.treeReduce(operator.add), 6),
        round(rdd.treeAggregate(0.0, lambda a, b: a + abs(b), operator.add), 6),
        rdd.reduce(max),
        round(rdd.fold(0.0, operator.add), 6),
        rdd.aggregate((0, 0), lambda a, _: (a[0] + 1, a[1]), lambda a, b: (a[0] + b[0], a[1] + 1)),
    ]


@case()
def empty_and_many_partitions(spark):
    sc = spark.sparkContext
    empty = sc.parallelize([], 3)
    return [
        empty.map(lambda x: x + 1).collect(),
        empty.isEmpty(),
        sc.emptyRDD().map(str).collect(),
        sc.parallelize(range(3), 8).glom().map(len).collect(),
        empty.fold(5, operator.add),
    ]


@case(cluster=True)
def sixty_four_partitions(spark):
    rdd = spark.sparkContext.parallelize(range(64_000), 64)
    return rdd.map(lambda x: (x % 10, x)).reduceByKey(operator.add, 16).sortByKey().collect()


@case()
def closures(spark):
    sc = spark.sparkContext

    def maker(base):
        def inner(x):
            return deeper(x) + base

        def deeper(x):
            return x * base if x < 3 else deeper(x - 1) + 1

        return inner

    rdd = sc.parallelize(range(6), 2)
    return [
        rdd.map(maker(10)).collect(),
        rdd.map(functools.partial(scale, 3)).collect(),
        rdd.map(functools.partial(scale, value=2)).collect(),
        rdd.map(str).collect(),
        rdd.map(operator.neg).collect(),
        rdd.map([10, 11, 12, 13, 14, 15].__getitem__).collect(),
        rdd.flatMap(lambda x: (y for y in range(x) if y % 2)).collect(),
        [f(2) for f in rdd.map(lambda x: lambda y: x * y).collect()],
    ]


@case(cluster=True)
def driver_classes(spark):
    sc = spark.sparkContext
    trades = sc.parallelize([Trade("ÄB", 1.5, 3), Trade("CD", 2.25), Trade("ÄB", 9.0, 2)], 2)
    return [
        sc.parallelize(range(5), 2).map(Money).reduce(operator.add),
        sorted(trades.collect()),
        trades.map(lambda t: (t.symbol, t.value)).reduceByKey(operator.add).sortByKey().collect(),
        trades.map(lambda t: dataclasses.replace(t, size=t.size + 1)).collect(),
        sc.parallelize([1, 2]).map(lambda x: Point(x, -x)).collect(),
        sc.parallelize([Point(1, 2), Point(3, 4)]).map(lambda p: p.x + p.y).collect(),
    ]


@case()
def text_and_pickle_files(spark):
    sc = spark.sparkContext
    folder = tempfile.mkdtemp()
    try:
        rdd = sc.parallelize(["añb", "", "日本", "x\ty"], 2)
        rdd.saveAsTextFile(os.path.join(folder, "text"))
        rdd.map(lambda s: (s, len(s), None, 1.5)).saveAsPickleFile(os.path.join(folder, "pickle"), 1)
        sc.parallelize([("k", 1), ("l", 2)]).saveAsSequenceFile(os.path.join(folder, "seq"))
        return [
            sorted(sc.textFile(os.path.join(folder, "text")).map(lambda s: s.upper()).collect()),
            sorted(sc.pickleFile(os.path.join(folder, "pickle")).collect()),
            sorted(sc.sequenceFile(os.path.join(folder, "seq")).mapValues(lambda v: v + 1).collect()),
            sorted(len(text) for _, text in sc.wholeTextFiles(os.path.join(folder, "text")).collect()),
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@case()
def caching_and_reserialising(spark):
    rdd = spark.sparkContext.parallelize(range(100), 4).map(lambda x: {"x": x, "sq": [x, x * x]})
    cached = rdd.cache()
    try:
        return [cached.count(), cached.map(lambda d: d["sq"][1]).sum(), cached.repartition(7).count()]
    finally:
        cached.unpersist()


@case()
def iterators_and_foreach(spark):
    rdd = spark.sparkContext.parallelize(range(20), 4)
    seen = spark.sparkContext.accumulator(0)
    rdd.foreach(lambda x: seen.add(x))
    rdd.foreachPartition(lambda rows: seen.add(1000 * sum(1 for _ in rows)))
    return [list(rdd.toLocalIterator()), rdd.take(3), seen.value, rdd.coalesce(2).glom().collect()]


@case()
def large_rows(spark):
    rdd = spark.sparkContext.parallelize([3_000_000, 1, 0, 5_000_000], 2)
    return rdd.map(lambda n: "é" * n).map(lambda s: (len(s), s[:2], hash(s) is not None)).collect()


@case("spill", seconds=120)
def spilling_group_and_sort(spark):
    sc = spark.sparkContext
    pairs = sc.parallelize(range(60_000), 2).map(lambda i: ((i * 7919) % 5_000, "v" * 40 + str(i)))
    grouped = pairs.groupByKey(2).mapValues(lambda v: sum(len(x) for x in v))
    ordered = pairs.sortByKey(numPartitions=2).map(lambda kv: kv[0])
    big = pairs.map(lambda kv: (kv[0] % 3, kv[1])).groupByKey(2).mapValues(len)
    combined = pairs.mapValues(len).reduceByKey(operator.add, 2)
    return [
        grouped.count(),
        grouped.values().sum(),
        ordered.take(5),
        ordered.count(),
        sorted(big.collect()),
        combined.values().sum(),
    ]
