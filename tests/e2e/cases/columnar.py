"""Arrow batches through linear memory: that they take this way, and what is left when they are through."""

import re

import pandas as pd
from pyspark.sql import Window
from pyspark.sql.functions import col, pandas_udf, udf, udtf
from pyspark.sql.types import LongType, StructField, StructType

from harness.registry import case

SETTING = "spark.davy.columnar"
FIGURES = (
    *("davyGather", "davyRowsSent", "davyBatchesSent", "davyBatchesReceived", "pythonDataSent", "pythonDataReceived"),
    *("davyGuest", "davyCopyIn", "davyCopyOut", "davyValidate", "davyPeakMemory"),
)
NODES = (
    *("DavyArrowEvalPython", "DavyMapInBatch", "DavyFlatMapGroups", "DavyFlatMapCoGroups", "DavyAggregatePython"),
    *("DavyWindowPython", "DavyUdtfPython", "ArrowWindowPython", "ArrowEvalPythonUDTF"),
    *("ArrowEvalPython", "MapInPandas", "MapInArrow", "FlatMapGroupsInPandas", "FlatMapGroupsInArrow"),
    *("FlatMapCoGroupsInPandas", "FlatMapCoGroupsInArrow", "ArrowAggregatePython", "RowToColumnar"),
)
NUMBERS = StructType([StructField("n", LongType())])


@pandas_udf(LongType())
def plus_one(v: pd.Series) -> pd.Series:
    return v + 1


@pandas_udf(LongType())
def total(v: pd.Series) -> int:
    return v.sum()


@pandas_udf(LongType())
def readers(v: pd.Series) -> pd.Series:
    """How many readers of Arrow streams there are in the interpreter."""
    import gc

    import pyarrow as pa

    return pd.Series([sum(isinstance(o, pa.RecordBatchStreamReader) for o in gc.get_objects())] * len(v))


def identity(batches):
    yield from batches


@udtf(returnType=NUMBERS, useArrow=True)
class Twice:
    def eval(self, n):
        yield (n,)
        yield (n,)


@udtf(returnType=NUMBERS, useArrow=True)
class Readers:
    """How many readers of Arrow streams there are in the interpreter."""

    def eval(self, n):
        import gc

        import pyarrow as pa

        yield (sum(isinstance(o, pa.RecordBatchStreamReader) for o in gc.get_objects()),)


def _plan(frame):
    return frame._jdf.queryExecution().executedPlan().toString()


def _nodes(frame):
    words = _plan(frame).replace("(", " ").replace("!", " ").split()  # "!" is Spark's own mark
    return [word for word in dict.fromkeys(words) if word in NODES]


def _reasons(frame):
    """Why nodes of the plan were left to the byte channel."""
    return re.findall(r"DavyByteChannel (.+)", _plan(frame))


def _outcome(spark, said):
    alive = [r[0] for r in spark.range(0, 6, 1, 3).select(plus_one("id")).collect()] == [1, 2, 3, 4, 5, 6]
    return {"said": said, "alive": alive}


def _allocated(spark):
    """Bytes of Arrow's memory in this JVM, when no task runs."""
    import time

    utils = spark._jvm.org.apache.spark.sql.util.ArrowUtils
    until = time.monotonic() + 10
    while utils.rootAllocator().getAllocatedMemory() and time.monotonic() < until:
        time.sleep(0.05)
    return utils.rootAllocator().getAllocatedMemory()


def _without(spark, run):
    spark.conf.set(SETTING, "false")
    try:
        return run()
    finally:
        spark.conf.unset(SETTING)


@case()
def plans_have_davys_nodes(spark):
    frame = spark.range(3)
    frames = [
        frame.select(plus_one("id")),
        frame.mapInPandas(identity, "id long"),
        frame.mapInArrow(identity, "id long"),
    ]
    return _outcome(
        spark, f"{[_nodes(f) for f in frames]} {_without(spark, lambda: [_nodes(f.select('*')) for f in frames])}"
    )


@case("no_aqe")
def plans_make_rows_in_blocks_for_parents_that_compute_nothing(spark):
    frame = spark.range(3).select("id", plus_one("id").alias("p"))
    takers = {
        "driver": frame,
        "renamed": frame.select("p", col("id").alias("i")),
        "shuffle": frame.repartition(2, "p"),
        "computed": frame.selectExpr("p + 1"),
        "chained": frame.select(plus_one(plus_one("p") + 1)),
        "nested": frame.mapInArrow(identity, "a array<long>"),
    }
    made = {name: re.findall(r"\w*ColumnarToRow\b", _plan(taker)) for name, taker in takers.items()}
    return _outcome(spark, str(made))


@case("no_aqe")
def plans_have_davys_nodes_of_groups(spark):
    frame = spark.range(3)
    groups, arrow = frame.groupBy("id"), frame.groupBy("id")
    both = groups.cogroup(frame.groupBy("id"))
    frames = [
        groups.applyInPandas(lambda group: group, "id long"),
        arrow.applyInArrow(lambda group: group, "id long"),
        both.applyInPandas(lambda ours, _: ours, "id long"),
        both.applyInArrow(lambda ours, _: ours, "id long"),
        groups.agg(total("id")),
    ]
    return _outcome(
        spark, f"{[_nodes(f) for f in frames]} {_without(spark, lambda: [_nodes(f.select('*')) for f in frames])}"
    )


def _windows(spark, function):
    """A query over whole groups and one over three rows each."""
    frame, by = spark.range(6).selectExpr("id", "id % 2 as k"), Window.partitionBy("k")
    return [frame.select(function("id").over(w)) for w in (by, by.orderBy("id").rowsBetween(-1, 1))]


@case("no_aqe")
def plans_have_davys_nodes_of_windows(spark):
    def first(v):
        return v[0]

    from pyspark.sql.functions import ArrowUDFType, arrow_udf

    of_arrow = arrow_udf(first, "long", ArrowUDFType.GROUPED_AGG)
    frames = _windows(spark, total) + _windows(spark, of_arrow)
    return _outcome(
        spark, f"{[_nodes(f) for f in frames]} {_without(spark, lambda: [_nodes(f.select('*')) for f in frames])}"
    )


@case("no_aqe")
def plans_have_davys_nodes_of_table_functions(spark):
    from pyspark.sql.functions import arrow_udtf

    @arrow_udtf(returnType="n long")
    class Same:
        def eval(self, batch):
            yield batch.select(["id"]).rename_columns(["n"])

    spark.udtf.register("twice", Twice)
    spark.udtf.register("same_batch", Same)
    spark.range(3).createOrReplaceTempView("three")
    queries = (
        "select t.n from three, lateral twice(id) t",
        "select * from twice(7)",
        "select * from same_batch(table(three) partition by id)",
    )

    def nodes():
        return [_nodes(spark.sql(query)) for query in queries]

    return _outcome(
        spark, f"{nodes()} {_without(spark, nodes)} {sorted(r[0] for r in spark.sql(queries[2]).collect())}"
    )


@case("no_aqe")
def functions_without_arguments(spark):
    """A batch without columns has no rows: these stay with Spark's nodes, and the results are right."""

    @udtf(returnType="n long", useArrow=True)
    class Once:
        def eval(self):
            yield (1,)

    query = Once()
    return _outcome(spark, f"{_nodes(query)} {_reasons(query)} {[tuple(r) for r in query.collect()]}")


@case("no_aqe")
def no_stream_is_written_of_windows(spark):
    """The stream of a group's rows is read when the function runs; that of results is open from the second group on."""

    @pandas_udf(LongType())
    def count(v: pd.Series) -> int:
        import gc

        import pyarrow as pa

        def is_stream(o):
            if isinstance(o, pa.RecordBatchStreamWriter):
                return not hasattr(o, "_davy")
            return isinstance(o, pa.RecordBatchStreamReader)

        return sum(map(is_stream, gc.get_objects()))

    def counted():
        frame, by = spark.range(40).selectExpr("id", "id % 20 as k"), Window.partitionBy("k")
        windows = (by, by.orderBy("id").rowsBetween(-1, 1))
        return [max(r[0] for r in frame.select(count("id").over(w)).collect()) > 0 for w in windows]

    return _outcome(spark, f"{counted()} {_without(spark, counted)}")


@case("no_aqe")
def no_stream_is_read_of_table_functions(spark):
    spark.udtf.register("readers", Readers)
    spark.range(0, 3, 1, 1).createOrReplaceTempView("three")
    query = "select distinct t.n from three, lateral readers(id) t"
    ours = [r[0] for r in spark.sql(query).collect()]
    streams = [r[0] > 0 for r in _without(spark, lambda: spark.sql(query).collect())]
    return _outcome(spark, f"{ours} {streams}")


@case("no_aqe")
def figures_of_windows_and_table_functions(spark):
    spark.udtf.register("twice", Twice)
    spark.range(0, 20_000, 1, 2).createOrReplaceTempView("many")
    found = []
    for frame in (
        spark.table("many").select(total("id").over(Window.partitionBy(col("id") % 10))),
        spark.sql("select t.n from many, lateral twice(id) t"),
    ):
        frame.collect()
        node = frame._jdf.queryExecution().executedPlan()
        while not node.nodeName().startswith("Davy"):
            node = node.children().head()
        figure = {name: node.metrics().apply(name).value() for name in (*FIGURES, "pythonNumRowsReceived")}
        spent = all(figure[name] > 0 for name in FIGURES)
        numbers = [figure[n] for n in ("davyRowsSent", "davyBatchesSent", "davyBatchesReceived")]
        found.append((node.nodeName(), numbers, figure["pythonNumRowsReceived"], spent))
    return _outcome(spark, str(found))


@case("no_aqe")
def no_stream_is_read_of_groups(spark):
    def count(group):
        import gc

        import pyarrow as pa

        return group.assign(id=sum(isinstance(o, pa.RecordBatchStreamReader) for o in gc.get_objects()))

    frame = spark.range(0, 3, 1, 1).groupBy("id").applyInPandas(count, "id long")
    ours = {r[0] for r in frame.collect()}
    return _outcome(spark, str(ours))


@case()
def plans_name_the_functions(spark):
    text = _plan(spark.range(3).select(plus_one(col("id"))))
    return _outcome(spark, next(line for line in text.splitlines() if "DavyArrowEvalPython" in line))


@case("no_aqe")
def plans_say_what_was_left_and_why(spark):
    """Each reason once, above Spark's node; with the path turned off, plans are Spark's."""

    def whole(group):
        return group

    def none():
        return 1

    interval = spark.range(3).selectExpr("id", "make_interval(0, 1, 0, cast(id as int)) as i").repartition(1)
    frames = [
        interval.select(pandas_udf(whole, "long")("id"), "i"),
        interval.groupBy("id").applyInPandas(lambda group: group[["id"]], "id long"),
        spark.range(3).select(udf(none, "long", useArrow=True)()),
        spark.range(3).select(plus_one("id")),
    ]
    return _outcome(
        spark, f"{[_reasons(f) for f in frames]} {_without(spark, lambda: [_reasons(f.select('*')) for f in frames])}"
    )


@case("no_aqe")
def plans_say_why_of_state_and_of_sources(spark):
    """What Davy has no node of its own for."""
    from pyspark.sql.datasource import DataSource, DataSourceReader
    from pyspark.sql.streaming import StatefulProcessor

    class Reader(DataSourceReader):
        def read(self, partition):
            yield (1,)
            yield (2,)

    class Source(DataSource):
        @classmethod
        def name(cls):
            return "two"

        def schema(self):
            return "id long"

        def reader(self, schema):
            return Reader()

    class Counting(StatefulProcessor):
        def init(self, handle):
            self.seen = handle.getValueState("seen", "n long")

        def handleInputRows(self, key, frames, timers):
            self.seen.update((sum(map(len, frames)),))
            yield pd.DataFrame({"id": [key[0] * 10 + self.seen.get()[0]]})

        def close(self):
            pass

    spark.dataSource.register(Source)
    source = spark.read.format("two").load()
    frames = [
        source,
        source.select(plus_one("id")),
        source.groupBy("id").transformWithStateInPandas(Counting(), "id long", "append", "none"),
    ]
    rows = [sorted(r[0] for r in frame.collect()) for frame in frames]
    return _outcome(spark, f"{[_reasons(f) for f in frames]} {rows}")


@case()
def no_stream_is_read(spark):
    frame = spark.range(0, 3, 1, 1).select(readers("id"))
    ours = {r[0] for r in frame.collect()}
    streams = {r[0] > 0 for r in _without(spark, frame.select("*").collect)}
    return _outcome(spark, f"{ours} {streams}")


@case("small_batches")
def settings_hold_below_a_shuffle_of_an_rdd(spark):
    """Stock's tasks read the default there, as they run outside of an SQL execution: 5 rows in one batch."""

    @pandas_udf("long")
    def length(v: pd.Series) -> pd.Series:
        return pd.Series([len(v)] * len(v))

    frame = spark.range(0, 10, 1, 2).select(length("id"))
    below, above = frame.repartition(1), spark.range(0, 5, 1, 2).repartition(1).select(length("id"))
    return _outcome(spark, str([sorted(r[0] for r in f.rdd.collect()) for f in (frame, below, above)]))


@case("no_aqe")
def figures_of_a_node(spark):
    frame = spark.range(0, 100_000, 1, 2).select(plus_one("id"))
    frame.collect()
    node = frame._jdf.queryExecution().executedPlan()
    while node.nodeName() != "DavyArrowEvalPython":
        node = node.children().head()
    figure = {name: node.metrics().apply(name).value() for name in FIGURES}
    spent = all(figure[name] > 0 for name in FIGURES)
    return _outcome(spark, f"{figure['davyRowsSent']} rows, {figure['davyBatchesReceived']} batches, {spent}")


@case("limited", seconds=60)
def limits_in_the_figures_of_a_node(spark):
    """Of tasks that go on after it, and of one that fails; reused sandboxes count each task's own."""

    def grasps(caught):
        @pandas_udf(LongType())
        def grasp(v: pd.Series) -> pd.Series:
            try:
                bytearray(1 << 29)
            except caught:
                pass
            return v

        return grasp

    said = []
    for function in (grasps(MemoryError), grasps(MemoryError), plus_one, grasps(ValueError)):
        frame = spark.range(0, 100, 1, 2).select(function("id"))
        try:
            frame.collect()
            ended = "well"
        except Exception as e:
            ended = re.search("\\w*MemoryError|Davy", str(e))[0]
        node = frame._jdf.queryExecution().executedPlan()
        while node.nodeName() != "DavyArrowEvalPython":
            node = node.children().head()
        met = node.metrics().apply("davyLimits").value()
        said.append((ended, met if ended == "well" else met > 0))
    return _outcome(spark, str(said))


@case("no_aqe")
def types_that_arrow_does_not_hold(spark):
    """The node stays Spark's, and the result is right."""
    frame = spark.range(3).selectExpr("id", "make_interval(0, 1, 0, cast(id as int)) as i").repartition(1)
    query = frame.select("id", plus_one("id").alias("y"), col("i").cast("string")).sort("id")
    return _outcome(spark, f"{_nodes(query)} {_reasons(query)} {[tuple(r) for r in query.collect()]}")


@case("small_batches")
def nothing_is_left_of_rows_that_multiply(spark):
    """Many batches are full before the first is asked for; the query ends early, or fails."""
    frame = spark.range(0, 4, 1, 2).selectExpr("id", "explode(sequence(1, 2000)) as e")
    found = [len(frame.select(plus_one("e")).limit(1).collect()), _allocated(spark)]
    found += [len(frame.mapInArrow(identity, "id long, e int").limit(1).collect()), _allocated(spark)]
    try:
        frame.select(plus_one(col("id") / (col("e") - 1900))).collect()
    except Exception as raised:
        found.append("DIVIDE_BY_ZERO" in str(raised))
    found += [_allocated(spark), frame.select(plus_one("e")).count()]
    return _outcome(spark, str(found))


@case("small_batches")
def nothing_is_left_allocated(spark):
    """After a whole query, one that stops early, and one that fails."""

    @pandas_udf(LongType())
    def failing(v: pd.Series) -> pd.Series:
        if (v > 50).any():
            raise ValueError("fifty")
        return v

    @pandas_udf(LongType())
    def failing_total(v: pd.Series) -> int:
        if (v > 50).any():
            raise ValueError("fifty")
        return v.sum()

    frame = spark.range(0, 1000, 1, 2)
    found = []
    frame.select(plus_one("id")).collect()
    found.append(_allocated(spark))
    frame.select(plus_one("id")).limit(1).collect()
    found.append(_allocated(spark))
    frame.mapInPandas(identity, "id long").limit(1).collect()
    found.append(_allocated(spark))
    try:
        frame.select(failing("id")).collect()
    except Exception as raised:
        found.append("fifty" in str(raised))
    found.append(_allocated(spark))
    groups = spark.range(0, 5000, 1, 2).selectExpr("id % 1000 as k", "id").groupBy("k")
    many = groups.applyInPandas(lambda group: group, "k long, id long")
    found.append(many.count())
    found.append(_allocated(spark))
    many.limit(1).collect()
    found.append(_allocated(spark))
    both = groups.cogroup(spark.range(0, 10, 1, 1).selectExpr("id as k").groupBy("k"))
    both.applyInPandas(lambda ours, _: ours, "k long, id long").limit(1).collect()
    found.append(_allocated(spark))
    groups.agg(total("id")).limit(1).collect()
    found.append(_allocated(spark))
    by = Window.partitionBy("k")
    windows = spark.range(0, 5000, 1, 2).selectExpr("id % 1000 as k", "id")
    windows.select(total("id").over(by)).collect()
    found.append(_allocated(spark))
    windows.select(total("id").over(by.orderBy("id").rowsBetween(-1, 1))).limit(1).collect()
    found.append(_allocated(spark))
    spark.udtf.register("twice", Twice)
    spark.range(0, 1000, 1, 2).createOrReplaceTempView("thousand")
    spark.sql("select t.n from thousand, lateral twice(id) t").collect()
    found.append(_allocated(spark))
    spark.sql("select t.n from thousand, lateral twice(id) t limit 1").collect()
    found.append(_allocated(spark))
    try:
        windows.select(failing_total("id").over(by)).collect()
    except Exception as raised:
        found.append(type(raised).__name__)
    found.append(_allocated(spark))
    try:
        groups.agg(failing_total("id")).collect()
    except Exception as raised:
        found.append(type(raised).__name__)
    found.append(_allocated(spark))
    return _outcome(spark, str(found))


@case("small_batches", seconds=120)
def tasks_end_early_on_reused_workers(spark):
    """Some take one row, some fail, some run to the end: each gets its own batches."""
    from concurrent.futures import ThreadPoolExecutor

    @pandas_udf(LongType())
    def failing(v: pd.Series) -> pd.Series:
        if (v == 777).any():
            raise ValueError("777")
        return v

    def run(n):
        frame = spark.range(n * 1000, (n + 1) * 1000, 1, 2)
        groups = frame.selectExpr("id % 50 as k", "id").groupBy("k")
        kind = n % 7
        if kind == 0:
            return len(frame.select(plus_one("id")).limit(1).collect()) == 1
        if kind == 1:
            return len(frame.mapInPandas(identity, "id long").limit(1).collect()) == 1
        if kind == 2:
            return len(groups.applyInPandas(lambda group: group, "k long, id long").limit(1).collect()) == 1
        if kind == 3:
            try:
                return frame.selectExpr("id % 1000 as id").select(failing("id")).collect() == []
            except Exception as raised:
                return "ValueError: 777" in str(raised)
        if kind == 4:
            windows = frame.selectExpr("id % 50 as k", "id").select(total("id").over(Window.partitionBy("k")))
            return len(windows.limit(1).collect()) == 1
        if kind == 5:
            frame.createOrReplaceTempView(f"numbers{n}")
            return len(spark.sql(f"select t.n from numbers{n}, lateral twice(id) t limit 1").collect()) == 1
        rows = frame.select("id", plus_one("id").alias("next")).collect()
        return [r.next for r in rows] == list(range(n * 1000 + 1, (n + 1) * 1000 + 1))

    spark.udtf.register("twice", Twice)
    with ThreadPoolExecutor(4) as threads:
        right = list(threads.map(run, range(42)))
    return _outcome(spark, f"{right.count(True)} of {len(right)}, {_allocated(spark)} bytes left")


@case()
def a_lie_about_a_batch(spark):
    """User code that calls the host itself."""
    from cases.refused import attempt

    def lie(_):
        import _davy
        import pyarrow as pa

        _davy.gateway(8, pa.schema([("a", pa.int64())]).serialize())
        _davy.gateway(9, b"\xff\xff\xff\x7f")

    return attempt(spark, lie)


@case()
def lies_about_results_that_come_together(spark):
    """How many there are, and how many rows each has."""

    def told(*numbers):
        @udtf(returnType=NUMBERS, useArrow=True)
        class Liar:
            def eval(self, n):
                import struct

                import davy_columns

                results = davy_columns._Results
                if not hasattr(results, "honest"):
                    results.honest = results._give
                    results._give = lambda self, batch, _=b"": self.honest(
                        batch, struct.pack(f">{len(numbers)}i", *numbers)
                    )
                yield (n,)

        spark.udtf.register("liar", Liar)
        spark.range(0, 3, 1, 1).createOrReplaceTempView("three")
        try:
            return spark.sql("select t.n from three, lateral liar(id) t").collect()
        except Exception as raised:
            return re.search(r"the guest broke its contract: [^\n]*", str(raised))[0].rstrip(".")

    pack = 4
    lies = [(pack, 1, 7), (pack, 2, -4, 7), (pack, 0), (pack, -1), (pack, 2**31 - 1), (9,)]
    return _outcome(spark, " | ".join(str(told(*lie)) for lie in lies))


@case()
def a_batch_that_was_not_put(spark):
    from cases.refused import attempt

    def take(_):
        import _davy

        return _davy.gateway(7, b"", 100)

    return attempt(spark, take)
