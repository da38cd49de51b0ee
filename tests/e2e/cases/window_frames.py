"""Window functions over every kind of frame, in pandas and Arrow: what they get, what they may return, their errors."""

import datetime
import decimal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Window, functions
from pyspark.sql.functions import PandasUDFType, col, pandas_udf
from pyspark.sql.types import StringType

from cases.attempts import attempts
from harness.registry import case

BY = Window.partitionBy
FIRST, LAST = Window.unboundedPreceding, Window.unboundedFollowing
FRAMES = {
    "whole": lambda w: w.rowsBetween(FIRST, LAST),
    "growing": lambda w: w.rowsBetween(FIRST, 0),
    "shrinking": lambda w: w.rowsBetween(0, LAST),
    "three": lambda w: w.rowsBetween(-1, 1),
    "before": lambda w: w.rowsBetween(FIRST, -1),
    "after": lambda w: w.rowsBetween(2, 4),
    "this": lambda w: w.rowsBetween(0, 0),
    "near": lambda w: w.rangeBetween(-6, 3),
    "ties": lambda w: w.rangeBetween(0, 0),
    "as declared": lambda w: w,
}


def keyed(spark, rows=17):
    """Keys with null and NaN among the values, one group of a single row."""
    values = [None, float("nan"), -0.0, 0.5, 2.0]
    keys = ["a", "b", "b", None, "é", "b"]
    data = [(keys[i % 6] if i else "alone", i * 3, values[i % 5]) for i in range(rows)]
    return spark.createDataFrame(data, "k string, n long, x double").coalesce(1)


@pandas_udf(StringType())
def seen(v: pd.Series) -> str:
    return f"{v.tolist()} {v.dtype} {v.index.tolist()} {v.name}"


def arrow_seen(v: pa.Array) -> str:
    return f"{v.to_pylist()} {v.type}"


def _frames(spark, function):
    def of(frame):
        whole = function("x").over(frame(BY("k").orderBy("n"))).alias("v")
        return keyed(spark).select("k", "n", whole).orderBy("n").collect()

    return attempts({name: lambda frame=frame: of(frame) for name, frame in FRAMES.items()})


@case("default", "small_batches", "no_aqe", since="4.1")
def frames_in_pandas(spark):
    return _frames(spark, seen)


@case("default", "small_batches", since="4.1")
def frames_in_arrow(spark):
    return _frames(spark, functions.arrow_udf(arrow_seen, "string"))


@case("default", "small_batches", cluster=True)
def several_functions(spark):
    """Frames that two functions share, arguments that are expressions, named, used twice."""

    @pandas_udf("string")
    def pair(a: pd.Series, b: pd.Series) -> str:
        return f"{a.tolist()} {b.tolist()}"

    rows = BY("k").orderBy("n")
    three, whole = rows.rowsBetween(-1, 1), BY("k")
    return keyed(spark).select(
        "*",
        seen("n").over(three).alias("a"),
        pair("n", "x").over(three).alias("b"),
        pair(b=col("n") + 1, a=functions.upper("k")).over(rows.rowsBetween(-2, 0)).alias("c"),
        pair("n", "n").over(whole).alias("d"),
        functions.sum("n").over(three).alias("native"),
        functions.concat(seen("x").over(whole), functions.lit("!"), seen("n").over(three)).alias("e"),
    ).orderBy("n").collect()  # fmt: skip


@case("default", "small_batches")
def partitions(spark):
    """By expressions, several columns, none; a table without rows, and tasks without."""
    frame, rows = keyed(spark), lambda *by: BY(*by).orderBy("n").rowsBetween(-1, 0)
    few = frame.where("n < 7").repartition(8)
    return attempts({
        "expression": lambda: frame.select("n", seen("n").over(rows(col("n") % 2))).orderBy("n").collect(),
        "several": lambda: frame.select("n", seen("n").over(rows("k", "x"))).orderBy("n").collect(),
        "number": lambda: frame.select("n", seen("n").over(rows("x"))).orderBy("n").collect(),
        "none": lambda: frame.select("n", seen("n").over(rows())).orderBy("n").collect(),
        "order of rows": lambda: frame.select("n", "k", seen("n").over(rows("k"))).coalesce(1).collect(),
        "no rows": lambda: frame.where("n < 0").select(seen("n").over(rows("k"))).collect(),
        "no rows, whole": lambda: frame.where("n < 0").select(seen("n").over(BY("k"))).collect(),
        "tasks without rows": lambda: few.select("n", seen("n").over(rows("n"))).orderBy("n").collect(),
    })  # fmt: skip


@case()
def many_groups(spark):
    @pandas_udf("long")
    def last(v: pd.Series) -> int:
        return v.iloc[-1] * 1000 + len(v)

    frame = spark.range(0, 6000, 1, 2).withColumn("k", col("id") % 1500)
    out = frame.select(
        "id",
        last("id").over(BY("k")).alias("whole"),
        last("id").over(BY("k").orderBy("id").rowsBetween(-1, 1)).alias("near"),
    )
    return [out.count(), out.agg(functions.sum("whole"), functions.sum(col("near") * col("id"))).collect()]


@case("default", "small_batches")
def one_large_group(spark):
    """Longer than a batch of the usual size."""

    @pandas_udf("double")
    def mean(v: pd.Series) -> float:
        return v.mean()

    frame = spark.range(0, 12_000 if "10000" in _limit(spark) else 50, 1, 1).withColumn("k", functions.lit(1))
    out = frame.select(mean("id").over(BY("k")).alias("m"), "id")
    return [out.count(), out.agg(functions.sum("m"), functions.max("id")).collect()]


def _limit(spark):
    return spark.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")


VALUES = {
    "boolean": True, "byte": 7, "int": 1, "long": 2**40, "float": 0.5, "double": 1.5, "string": "é",
    "binary": b"\x00\xff", "date": datetime.date(2024, 2, 29), "timestamp": datetime.datetime(2024, 2, 29, 12),
    "timestamp_ntz": datetime.datetime(2024, 2, 29, 12), "decimal(38,18)": decimal.Decimal("1.5"),
    "interval day to second": datetime.timedelta(hours=1), "array<string>": ["a", None],
    "map<string,int>": {"a": 1}, "struct<a:int,b:string>": (1, "b"),
}  # fmt: skip


@case()
def results_of_each_type(spark):
    """The value that a function returns for each row, then for each group."""

    def through(kind, value, window):
        give = pandas_udf(lambda v: value, kind, PandasUDFType.GROUPED_AGG)
        return keyed(spark, 4).select("n", give("n").over(window).alias("v")).orderBy("n").collect()

    rows = BY("k").orderBy("n").rowsBetween(0, 0)
    return attempts({
        f"{kind} {name}": lambda kind=kind, value=value, window=window: through(kind, value, window)
        for kind, value in VALUES.items()
        for name, window in (("bounded", rows), ("whole", BY("k")))
    })  # fmt: skip


WRONG = {
    "text": lambda v: "x", "none": lambda v: None, "column": lambda v: v, "list": lambda v: [1],
    "float": lambda v: 1.5, "nan": lambda v: float("nan"), "raises": lambda v: v["no such"], "large": lambda v: 2**70,
    "takes none": lambda: 1, "takes two": lambda a, b: 1, "stops": lambda v: next(iter(())),
    "some": lambda v: None if len(v) % 2 else 1,
}  # fmt: skip


def _wrong(spark, make):
    rows = BY("k").orderBy("n").rowsBetween(-1, 0)
    return attempts({
        f"{name} {kind}": lambda f=f, window=window: keyed(spark, 5).select(make(f)("n").over(window)).collect()
        for name, f in WRONG.items()
        for kind, window in (("bounded", rows), ("whole", BY("k")))
    })  # fmt: skip


@case()
def wrong_in_pandas(spark):
    return _wrong(spark, lambda f: pandas_udf(f, "long", PandasUDFType.GROUPED_AGG))


@case(since="4.1")
def wrong_in_arrow(spark):
    kind = functions.ArrowUDFType.GROUPED_AGG
    return _wrong(spark, lambda f: functions.arrow_udf(f, "long", kind))


@case(since="4.1")
def slices_of_arrow(spark):
    """Arrays with an offset of their own, of text and lists."""

    def longest(v: pa.Array) -> int:
        return pc.max(pc.binary_length(v)).as_py()

    def flat(v: pa.Array) -> list:
        return pc.list_flatten(v).to_pylist()

    frame = spark.range(0, 9, 1, 1).selectExpr(
        "id", "id % 2 as k", "repeat('x', cast(id as int)) as s", "if(id = 4, null, array(id, null)) as a"
    )
    rows = BY("k").orderBy("id").rowsBetween(-1, 1)
    return frame.select(
        "id",
        functions.arrow_udf(longest, "int")("s").over(rows).alias("s"),
        functions.arrow_udf(flat, "array<long>")("a").over(rows).alias("a"),
    ).orderBy("id").collect()  # fmt: skip


@case()
def stops_early(spark):
    frame = keyed(spark).select("n", seen("x").over(BY("k")))
    return [len(frame.limit(n).collect()) for n in (0, 1, 3)]
