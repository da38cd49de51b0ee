"""What plans keep around functions that get Arrow batches: determinism, partition columns, shuffles and sorts."""

import os
import re
import tempfile

import pandas as pd
import pyarrow as pa
from pyspark.sql.functions import PandasUDFType, arrow_udf, col, pandas_udf, udf
from pyspark.sql.types import LongType, StringType

from cases.attempts import attempt
from cases.every_node import NODES, nodes_of, settings
from harness.registry import case

#: Of functions of the same kind of node, one.
EACH = {node.stock: node for node in NODES}.values()
PLAIN = {"spark__sql__adaptive__enabled": "false"}


def _rows(spark, count=12, parts=2):
    return spark.range(0, count, 1, parts).selectExpr("id", "id % 3 as k")


@pandas_udf(LongType())
def plus_one(v: pd.Series) -> pd.Series:
    return v + 1


@pandas_udf(StringType())
def told(v: pd.Series) -> pd.Series:
    return "<" + v.astype(str) + ">"


def _functions_with_state():
    """Each call of the function gives other numbers; kinds of functions, declared nondeterministic or not."""

    def counting(kind, wrap):
        calls = []

        def in_pandas(v: pd.Series) -> pd.Series:
            calls.append(1)
            return pd.Series([len(calls)] * len(v))

        def in_arrow(v: pa.Array) -> pa.Array:
            calls.append(1)
            return pa.array([len(calls)] * len(v), pa.int64())

        def plain(_):
            calls.append(1)
            return len(calls)

        return wrap({"pandas": in_pandas, "arrow": in_arrow, "plain": plain}[kind])

    kinds = {
        "pandas": lambda f: pandas_udf(f, "long"),
        "arrow": lambda f: arrow_udf(f, "long"),
        "plain": lambda f: udf(f, "long", useArrow=True),
    }
    yield "deterministic", lambda: counting("pandas", kinds["pandas"])
    for kind, wrap in kinds.items():
        yield kind, lambda kind=kind, wrap=wrap: counting(kind, wrap).asNondeterministic()


def _calls(frame):
    """How many functions each node of the plan calls, and the plan's filters, sorts and shuffles, from the root."""
    text = frame._jdf.queryExecution().executedPlan().toString()
    return [
        (name.removeprefix("Davy"), line.count("in_") + line.count("plain("))
        for line in text.splitlines()
        for name in re.findall(r"\b(\w*ArrowEvalPython|Filter|Sort|Exchange)\b", line)[:1]
    ]


def _rows_and_calls(frame):
    return [tuple(row) for row in frame.collect()], _calls(frame)


@case("small_batches", since="4.3", seconds=600)
def functions_that_are_not_deterministic(spark):
    """A call of one is neither repeated, nor left out, nor moved past a filter; of two, each counts for itself."""
    found = {}
    rows = spark.range(0, 10, 1, 1).selectExpr("id", "id % 3 as k")
    with settings(spark, **PLAIN):
        for name, make in _functions_with_state():
            f = make()
            one = rows.select("id", f("id").alias("n"))
            frames = {
                "twice": lambda f=f, one=one: rows.select(f("id").alias("a"), f("id").alias("b")),
                "used twice": lambda f=f, one=one: one.select("n", (col("n") * 2).alias("m"), col("n") + col("n")),
                "filtered after": lambda f=f, one=one: one.filter("id > 4"),
                "filtered by it": lambda f=f, one=one: one.filter("n > 2 and id > 1"),
                "filtered twice": lambda f=f, one=one: one.filter("n > 1").filter("n < 4"),
                "not asked for": lambda f=f, one=one: one.select("id"),
                "in a filter": lambda f=f, one=one: rows.filter(f("id") > 2),
                "in a sort": lambda f=f, one=one: rows.sort(f("id"), "id"),
                "of itself": lambda f=f, one=one: rows.select(f(f("id"))),
                "limited": lambda f=f, one=one: one.limit(3),
                "joined": lambda f=f, one=one: one.join(rows.select(col("id").alias("i")), col("n") == col("i")),
                "in a join": lambda f=f, one=one: rows.join(rows.select(col("id").alias("i")), f("k") == col("i")),
                "aggregated": lambda f=f, one=one: one.groupBy("n").count().sort("n"),
                "grouped by it": lambda f=f, one=one: rows.groupBy(f("id").alias("n")).count().sort("n"),
            }
            for what, frame in frames.items():
                found[name, what] = attempt(lambda frame=frame: _rows_and_calls(frame()))
    return found


@case("no_aqe", since="4.3", seconds=600)
def partition_columns_of_every_type(spark):
    """Columns that the files do not hold: numbers, text, dates and nulls, as arguments, beside them and in filters."""
    rows = spark.range(0, 40, 1, 2).selectExpr(
        "id",
        "if(id % 5 = 0, null, cast(id % 3 as int)) as i",
        "if(id % 7 = 0, null, concat('ß ', cast(id % 2 as string))) as s",
        "if(id % 4 = 0, null, date_add(date'1969-12-30', cast(id % 3 as int))) as d",
    )

    @pandas_udf("string")
    def shown(*columns: pd.Series) -> pd.Series:
        # Numbers beside a null are floats, and which rows come in one batch is by chance.
        return pd.Series(
            [str([None if pd.isna(v) else int(v) if isinstance(v, float) else v for v in row]) for row in zip(*columns)]
        )

    @arrow_udf("string")
    def kinds(*columns: pa.Array) -> pa.Array:
        return pa.array([f"{[str(c.type) for c in columns]} {row}" for row in zip(*(c.to_pylist() for c in columns))])

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("parquet", "orc"):
            path = os.path.join(folder, kind)
            rows.write.partitionBy("i", "s", "d").format(kind).save(path)
            files = spark.read.format(kind).load(path)
            for setting in (
                {},
                {"spark__sql__columnVector__offheap__enabled": "true"},
                {"spark__sql__execution__arrow__maxRecordsPerBatch": 3},
                {"spark__sql__codegen__wholeStage": "false"},
            )[: 4 if kind == "parquet" else 1]:
                with settings(spark, **setting):
                    frames = {
                        "arguments": files.select("id", shown("i", "d"), shown("s"), kinds("i", "s", "d")),
                        "beside": files.select(plus_one("id"), "i", "s", "d"),
                        "filtered": files.filter("i = 1 or s is null or d < date'1970-01-01'").select(
                            plus_one("id"), kinds("d", "i")
                        ),
                        "null partition": files.filter("i is null").select(plus_one("id"), told("s"), "d"),
                        "map": files.mapInArrow(lambda batches: batches, files.schema),
                        "groups": files.groupBy("i", "d").applyInPandas(lambda group: group, files.schema),
                    }
                    for where, frame in frames.items():
                        found[kind, *setting, where] = attempt(
                            lambda frame=frame: sorted(str(tuple(r)) for r in frame.collect())
                        )
    return found


#: Spark's nodes of whose sort by the keys Davy's take the place.
SORTED = ("FlatMapGroupsInPandas", "FlatMapGroupsInArrow", "ArrowAggregatePython")


def _below(node):
    """The node's child, whatever code it is compiled into."""
    while True:
        node = node.children().apply(0)
        if not node.nodeName().startswith(("WholeStageCodegen", "InputAdapter")):
            return node.nodeName()


def _count(frame):
    """What rows came, and the shuffles, broadcasts and sorts of the plan that was executed, but for the groups' own."""
    rows = sorted(map(str, frame.collect()))
    nodes = list(nodes_of(frame))
    names = [node.nodeName() for node in nodes]
    found = {kind: names.count(kind) for kind in ("Exchange", "BroadcastExchange", "Sort", "AQEShuffleRead")}
    found["Sort"] -= sum(_below(node) == "Sort" for node in nodes if node.nodeName() in SORTED)
    return rows, found


@case(since="4.3", seconds=600)
def shuffles_after_every_kind(spark):
    """What follows a function is neither shuffled nor sorted more often than in stock, nor less."""
    found = {}
    rows = _rows(spark, 30)
    with settings(spark, spark__sql__autoBroadcastJoinThreshold=-1):
        for number, node in enumerate(EACH):
            frame = node.query(rows, lambda n: n)
            after = {
                "grouped": frame.groupBy("t").count(),
                "joined": frame.distinct().join(rows, col("t") == col("id")),
                "sorted": frame.sort("t").limit(3),
            }
            with settings(spark, spark__sql__adaptive__enabled=str(number % 2 == 0).lower()):
                for what, query in after.items():
                    found[node.stock, what] = attempt(lambda query=query: _count(query.select("*")))
        apart = rows.repartition(3, "k")
        same = apart.groupBy("k").applyInPandas(lambda g: g, rows.schema)
        maps = apart.mapInPandas(lambda b: b, rows.schema)
        kept = apart.select("k", "id", plus_one("id").alias("n"))
        ordered = rows.sortWithinPartitions("k").select("k", plus_one("id").alias("n"))
        further = {
            "groups of the same keys": same.groupBy("k").count(),
            "groups of groups": same.groupBy("k").applyInPandas(lambda g: g, rows.schema),
            "groups after a map": maps.groupBy("k").count(),
            "groups by what a scalar function leaves": kept.groupBy("k").count(),
            "groups by its result": kept.groupBy("n").count(),
            "a join by what it leaves": kept.join(apart.select("k").distinct(), "k"),
            "sorted as before": ordered.sortWithinPartitions("k"),
            "a window of what it leaves": kept.selectExpr("sum(n) over (partition by k order by id) as s"),
            "aggregates of the same keys": apart.groupBy("k").agg(
                pandas_udf(lambda v: v.sum(), "long", PandasUDFType.GROUPED_AGG)("id")
            ),
        }
        for what, query in further.items():
            found[what] = attempt(lambda query=query: _count(query))
    return found
