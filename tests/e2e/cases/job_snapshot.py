"""Functions that are slow to load and broadcasts that are large, used by many tasks: what one task
changes no other sees, and what loading does outside of the function happens for each of them."""

import os
import random
import sys
import tempfile
import time
import uuid

from pyspark.sql.functions import pandas_udf, udf

from harness.registry import case

TASKS = 6
MIB = 1 << 20


class Loaded:
    """Takes as long to load as a large model; `then` runs at the end of it."""

    def __init__(self, then=None):
        self.then = then
        self.state = []

    def __getstate__(self):
        return self.then

    def __setstate__(self, then):
        time.sleep(0.12)
        self.__init__(then)
        if then is not None:
            then(self)


def each(spark, function, tasks=TASKS):
    """What `function` answers in each of some tasks."""
    return spark.sparkContext.parallelize(range(tasks), tasks).map(function).collect()


@case("default", "no_reuse", cluster=True)
def large_broadcast(spark):
    table = spark.sparkContext.broadcast({"é": b"x" * (8 * MIB), "n": [1, 2, {"c": None}]})
    return [each(spark, lambda i: (i, len(table.value["é"]), table.value["n"])) for _ in range(2)]


@case("no_reuse", cluster=True)
def changes_of_a_broadcast_stay_in_their_task(spark):
    table = spark.sparkContext.broadcast({"rows": [], "bulk": bytearray(8 * MIB)})

    def change(i):
        table.value["rows"].append(i)
        table.value["bulk"][i] += 1
        return len(table.value["rows"]), sum(table.value["bulk"][:TASKS])

    return each(spark, change)


@case("no_reuse")
def changes_of_a_function_stay_in_their_task(spark):
    model = Loaded()

    def change(i):
        model.state.append(i)
        return len(model.state)

    return each(spark, change)


@case("default", "no_reuse", cluster=True)
def accumulators_of_a_slow_function(spark):
    total, model = spark.sparkContext.accumulator(0), Loaded()

    def add(i):
        total.add(i + len(model.state))
        return i

    return [each(spark, add), total.value, each(spark, add), total.value]


@case("default", "no_reuse")
def random_numbers_differ(spark):
    model = Loaded()

    def draw(_):
        import numpy

        drawn = [random.random(), uuid.uuid4().hex, os.urandom(8), numpy.random.random()]
        return [*drawn, tempfile.mktemp(), len(model.state)]

    columns = zip(*each(spark, draw), strict=True)
    return [len(set(column)) for column in columns]


@case("no_reuse")
def seeded_while_loaded(spark):
    model = Loaded(lambda self: random.seed(7))
    return each(spark, lambda _: (random.random(), len(model.state)))


@case("no_reuse")
def generator_of_random_numbers(spark):
    def begin(self):
        self.state = random.Random(5)

    model = Loaded(begin)
    return each(spark, lambda _: model.state.random())


@case("no_reuse")
def environment_while_loaded(spark):
    def change(self):
        os.environ["LOADED"] = "yes"
        sys.path.append("/nowhere")

    model = Loaded(change)
    return each(spark, lambda _: (os.environ.get("LOADED"), "/nowhere" in sys.path, model.state))


@case("no_reuse")
def generator_that_has_begun(spark):
    def begin(self):
        self.state = (n * n for n in range(2, 9))
        next(self.state)

    model = Loaded(begin)
    return each(spark, lambda _: next(model.state))


@case("no_reuse")
def file_while_loaded(spark):
    def write(self):
        self.state = tempfile.TemporaryFile()
        self.state.write(b"once")
        self.state.seek(0)

    model = Loaded(write)
    return each(spark, lambda _: model.state.read())


@case("no_reuse", markers=True)
def prints_while_loaded(spark):
    model = Loaded(lambda self: print("MARK loaded", flush=True))
    return each(spark, lambda _: model.state)


@case()
def fails_while_loaded(spark):
    def fail(self):
        raise ValueError("not today")

    model = Loaded(fail)
    return each(spark, lambda _: model.state)


@case()
def broadcast_that_nobody_can_load(spark):
    def fail(self):
        raise ValueError("not today")

    broken = spark.sparkContext.broadcast([Loaded(fail), b"x" * (8 * MIB)])
    unused = each(spark, lambda i: i if i >= 0 else broken.value)
    return unused + each(spark, lambda i: broken.value)


@case("default", "no_reuse")
def broadcasts_come_and_go(spark):
    sc, found = spark.sparkContext, []
    first = sc.broadcast(b"1" * (5 * MIB))
    for number in range(3):
        second = sc.broadcast([number] * MIB)
        found.append(each(spark, lambda i, b=second: (len(first.value), b.value[i]), tasks=4))
        found.append(each(spark, lambda i: len(first.value), tasks=2))
        second.destroy()
    return found


@case("default", "no_reuse")
def large_function(spark):
    blob = bytes(range(256)) * (3 * MIB // 256)
    return each(spark, lambda i: (len(blob), blob[i]))


@case("default", "no_reuse", cluster=True)
def in_sql_functions(spark):
    table, model = spark.sparkContext.broadcast(list(range(2 * MIB))), Loaded()

    @udf("long", useArrow=False)
    def pickled(i):
        return table.value[i] + len(model.state)

    @udf("long", useArrow=True)
    def plain(i):
        return table.value[i] * 2

    @pandas_udf("long")
    def vectorised(s):
        return s.map(lambda i: table.value[i]) + len(model.state)

    frame = spark.range(0, 40, 1, 4)
    rows = frame.select(pickled("id"), plain("id"), vectorised("id"), vectorised(plain("id"))).collect()
    grouped = frame.groupBy((frame.id % 3).alias("k")).applyInPandas(
        lambda pdf: pdf.assign(id=pdf.id.map(lambda i: table.value[i])).sum().to_frame().T, "id long"
    )
    return [rows, sorted(grouped.collect())]
