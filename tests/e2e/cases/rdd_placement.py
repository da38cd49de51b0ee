"""Which partition a key goes to.

The driver computes it too (`lookup`), on a 64-bit Python: a guest whose word
is 32 bits wide must place every key where the driver expects it.
"""

import datetime
import decimal

from harness.registry import case

KEYS = {
    "ints": [0, 1, -1, -2, 7, 2**31 - 1, 2**31, 2**40 + 3, 2**61 - 1, 2**61, 2**63, -(2**63), 10**30],
    "floats": [0.0, -0.0, 0.5, 1e300, 3.14, -2.5, float("inf"), 1 / 3],
    "strings": ["", "a", "b", "key-1", "key-2", "é", "東京", "\U0001f600", "x" * 100],
    "bytes": [b"", b"a", b"\x00\xff"],
    "none": [None],
    "bools": [True, False],
    "tuples": [(), (1,), (1, "a"), ("a", None, 2.5), ((1, 2), ("x",)), (2**40, -5)],
    "frozensets": [frozenset(), frozenset([1, 2, 3])],
    "dates": [datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 1, 2, 3)],
    "decimals": [decimal.Decimal("1.10"), decimal.Decimal(-7), decimal.Decimal("1e20")],
}


def _placement(keys):
    def run(spark):
        pairs = spark.sparkContext.parallelize([(k, i) for i, k in enumerate(keys)], 3)
        parts = pairs.partitionBy(7).glom().collect()
        return [sorted(part, key=lambda kv: kv[1]) for part in parts]

    run.__module__ = __name__
    return run


for _kind, _keys in KEYS.items():
    case("default", name=f"partition_of_{_kind}", cluster=_kind in ("ints", "strings", "tuples"))(_placement(_keys))


@case()
def lookup(spark):
    keys = [k for kind in ("ints", "strings", "none", "tuples", "floats") for k in KEYS[kind]]
    pairs = spark.sparkContext.parallelize([(k, i) for i, k in enumerate(keys)], 3).partitionBy(5)
    return [sorted(pairs.lookup(k)) for k in ("key-1", "東京", 2**40 + 3, 10**30, (1, "a"), None, 3.14)]


@case(differs="the guest's word is 32 bits wide, and so is hash()")
def hashes_seen_by_user_code(spark):
    rdd = spark.sparkContext.parallelize(["a", "key-1", "東京", 2**40 + 3, (1, "a"), 3.14, None], 1)
    return rdd.map(lambda k: None if k is None else hash(k)).collect()


@case(differs="the guest's word is 32 bits wide")
def word_size_seen_by_user_code(spark):
    def look(_):
        import array
        import struct
        import sys

        return [sys.maxsize, struct.calcsize("l"), struct.calcsize("P"), array.array("l").itemsize, sys.byteorder]

    return spark.sparkContext.parallelize([0], 1).map(look).collect()


@case()
def order_within_distinct_and_group(spark):
    sc = spark.sparkContext
    words = sc.parallelize(["fox", "dog", "über", "東京", "the", "fox", "a", "the"] * 3, 2)
    numbers = sc.parallelize([2**k + 1 for k in range(0, 80, 3)] * 2, 3)
    return [
        words.distinct().collect(),
        words.map(lambda w: (w, 1)).reduceByKey(lambda a, b: a + b).collect(),
        numbers.distinct().collect(),
    ]


@case(differs="hash() decides the order of a set, and the guest's is 32 bits wide")
def order_of_a_set(spark):
    return spark.sparkContext.parallelize([1], 1).map(lambda _: list({"fox", "dog", "über", "東京", "a"})).collect()


@case()
def repartition_and_sort_within(spark):
    pairs = spark.sparkContext.parallelize([(f"k{i * 37 % 50}", i) for i in range(100)], 4)
    return [pairs.repartitionAndSortWithinPartitions(3).glom().collect(), pairs.groupByKey(5).mapValues(len).collect()]
