"""pandas functions over groups, pairs of groups and windows."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.functions import PandasUDFType, col, pandas_udf

from cases.attempts import attempt, attempts
from harness.registry import case


def groups(spark, rows=14):
    """Groups of one to several rows, a null key, and batches that end inside a group."""
    data = [(["a", "b", "b", "c", None, "é"][i % 6], i, None if i % 5 == 3 else i / 4) for i in range(rows)]
    return spark.createDataFrame(data, "k string, n long, x double").coalesce(1)


def _udf(kind):
    """A pandas UDF made when it is used: there is no session yet when this module is read."""
    return lambda f: lambda *columns, **named: pandas_udf(f, kind)(*columns, **named)


@_udf("double")
def mean_of(s: pd.Series) -> float:
    return s.mean()


@_udf("long")
def spread(a: pd.Series, b: pd.Series) -> int:
    return int(a.max() - b.fillna(0).min())


@_udf("array<long>")
def gather(s: pd.Series) -> list:
    return sorted(s.tolist())


@case("default", "small_batches", cluster=True)
def aggregates(spark):
    frame = groups(spark)
    several = frame.groupBy("k").agg(mean_of("x").alias("m"), spread("n", "x").alias("s"), gather("n"))
    return [
        sorted(several.collect(), key=str),
        frame.agg(mean_of("x"), gather("n")).collect(),
        sorted(frame.groupBy((col("n") % 2).alias("odd")).agg(spread(b=col("x"), a=col("n"))).collect()),
        frame.where("n < 0").agg(gather("n")).collect(),
        frame.where("n < 0").groupBy("k").agg(mean_of("x")).collect(),
    ]  # fmt: skip


@case()
def aggregates_of_each_type(spark):
    """The scalar that a function returns for a group, as each type."""
    import datetime
    import decimal

    values = {
        "int": 1, "double": 1.5, "string": "é", "boolean": True, "binary": b"\x00\xff",
        "date": datetime.date(2024, 2, 29),
        "timestamp": datetime.datetime(2024, 2, 29, 12), "decimal(38,18)": decimal.Decimal("1.5"),
        "array<string>": ["a", None],
        "interval day to second": datetime.timedelta(hours=1), "timestamp_ntz": datetime.datetime(2024, 2, 29, 12),
    }  # fmt: skip
    columns = [
        pandas_udf(lambda s, value=value: value, kind, PandasUDFType.GROUPED_AGG)("n").alias(kind)
        for kind, value in values.items()
    ]
    return groups(spark, 3).agg(*columns).collect()


@case()
def aggregates_wrong(spark):
    table = {
        "text for long": lambda s: "x", "none": lambda s: None, "series": lambda s: s, "list": lambda s: [1],
        "raises": lambda s: s["no such"],
    }  # fmt: skip
    frame = groups(spark, 3)
    return attempts({
        n: lambda f=f: frame.agg(pandas_udf(f, "long", PandasUDFType.GROUPED_AGG)("n").alias("v")).collect()
        for n, f in table.items()
    })  # fmt: skip


@case("default", "small_batches", since="4.2")
def aggregates_over_iterators(spark):
    @pandas_udf("double")
    def mean(batches: Iterator[pd.Series]) -> float:
        total = count = 0
        for s in batches:
            total, count = total + s.sum(), count + len(s)
        return total / count

    @pandas_udf("string")
    def pairs(batches: Iterator[tuple[pd.Series, pd.Series]]) -> str:
        return " ".join(sorted(f"{a}:{b}" for x, y in batches for a, b in zip(x, y)))

    frame = groups(spark)
    return [
        sorted(frame.groupBy("k").agg(mean("n").alias("m")).collect(), key=str),
        sorted(frame.groupBy("k").agg(pairs("n", "x")).collect(), key=str),
        attempt(lambda: frame.agg(mean("n"), pairs("n", "x")).collect()),
    ]


@case("default", "small_batches")
def windows(spark):
    by = Window.partitionBy("k")
    rows = by.orderBy("n")
    frame = groups(spark)
    return frame.select(
        "k", "n",
        mean_of("x").over(by).alias("whole"),
        mean_of("n").over(rows).alias("growing"),
        mean_of("n").over(rows.rowsBetween(-1, 1)).alias("three"),
        mean_of("n").over(rows.rowsBetween(Window.unboundedPreceding, -1)).alias("before"),
        mean_of("n").over(rows.rangeBetween(-6, 0)).alias("near"),
        gather("n").over(rows.rowsBetween(0, Window.unboundedFollowing)).alias("rest"),
        F.sum("n").over(rows).alias("native"),
    ).orderBy("n").collect()  # fmt: skip


@case()
def windows_without_partitions(spark):
    frame = groups(spark, 5)
    everything = Window.orderBy("n").rowsBetween(-1, 0)
    return frame.select(mean_of("n").over(everything), spread("n", "x").over(Window.partitionBy())).collect()


def _demeaned(f):
    return f.assign(x=f.x - f.x.mean())


def _summed(key, f):
    return pd.DataFrame([key + (len(f), f.n.sum())])


def _seen(key, f):
    types = " ".join(map(str, f.dtypes))
    return pd.DataFrame(
        {"t": [f"{key!r} {[type(v).__name__ for v in key]} {types} {f.index.tolist()} {list(f.columns)}"]}
    )


@case("default", "small_batches", "no_aqe", cluster=True)
def apply_in_pandas(spark):
    by = groups(spark).groupBy("k")
    return [
        by.applyInPandas(_demeaned, "k string, n long, x double").orderBy("n").collect(),
        sorted(by.applyInPandas(_summed, "k string, c int, s long").collect(), key=str),
        sorted(by.applyInPandas(_seen, "t string").collect()),
    ]


@case()
def apply_in_pandas_keys(spark):
    frame = groups(spark)
    two = frame.groupBy("k", (col("n") % 2).alias("odd")).applyInPandas(_seen, "t string")
    none = frame.groupBy().applyInPandas(_seen, "t string")
    return [sorted(two.collect()), none.collect()]


@case()
def apply_in_pandas_many_groups(spark):
    frame = spark.range(0, 600, 1, 2).withColumn("k", col("id") % 150)
    out = frame.groupBy("k").applyInPandas(lambda f: f.sum().to_frame().T, "id long, k long")
    return [out.count(), out.agg(F.sum("id"), F.max("k")).collect()]


@case()
def apply_in_pandas_empty_results(spark):
    by = groups(spark).groupBy("k")
    return [
        by.applyInPandas(lambda f: f[f.n > 11], "k string, n long, x double").orderBy("n").collect(),
        by.applyInPandas(lambda f: pd.DataFrame(), "k string, n long, x double").collect(),
        groups(spark).where("n < 0").groupBy("k").applyInPandas(_demeaned, "k string, n long, x double").collect(),
    ]


RESULTS = {
    "swapped": lambda f: f[["x", "n"]], "numbered": lambda f: pd.DataFrame({0: f.n, 1: f.x}),
    "missing": lambda f: f[["n"]],
    "extra": lambda f: f.assign(z=1)[["n", "x", "z"]], "renamed": lambda f: f[["n", "x"]].rename(columns={"x": "y"}),
    "types": lambda f: f[["n", "x"]].assign(n="text"), "series": lambda f: f.n, "none": lambda f: None,
    "numbers as texts": lambda f: f[["n", "x"]].astype(str), "floats": lambda f: f[["n", "x"]].assign(n=1.5),
    "raises": lambda f: f["no such"], "category": lambda f: f[["n", "x"]].astype({"n": "category"}),
}  # fmt: skip


def _result(name):
    def run(spark):
        out = groups(spark, 1).groupBy("k").applyInPandas(RESULTS[name], "n long, x double")
        return attempt(lambda: out.collect())

    run.__module__ = __name__
    return run


for _name in RESULTS:
    case("default", name=f"apply_in_pandas_returns_{_name.replace(' ', '_')}")(_result(_name))


@case()
def columns_by_position(spark):
    spark.conf.set("spark.sql.legacy.execution.pandas.groupedMap.assignColumnsByName", "false")
    try:
        by = groups(spark, 3).groupBy("k")
        return by.applyInPandas(lambda f: f[["x", "n"]], "n double, x long").orderBy("x").collect()
    finally:
        spark.conf.unset("spark.sql.legacy.execution.pandas.groupedMap.assignColumnsByName")


@case("default", "small_batches", since="4.1")
def apply_in_pandas_iterators(spark):
    def large(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for f in frames:
            yield f[f.n > 3]

    def counted(key: tuple[Any, ...], frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        yield pd.DataFrame({"k": [key[0]], "c": [sum(len(f) for f in frames)]})

    by = groups(spark, 30).groupBy("k")
    return [
        by.applyInPandas(large, "k string, n long, x double").orderBy("n").collect(),
        sorted(by.applyInPandas(counted, "k string, c long").collect(), key=str),
    ]


def _pair(left, right):
    return pd.DataFrame(
        {"k": [max([*left.k.dropna(), *right.k.dropna()], default="-")], "l": [len(left)], "r": [right.w.sum()]}
    )


def _pair_with_key(key, left, right):
    return pd.DataFrame({"t": [f"{key!r} {len(left)} {right.w.tolist()} {list(left.columns)}"]})


def others(spark):
    return spark.createDataFrame([("a", 1), ("a", 2), ("z", 3), (None, 4)], "k string, w long").coalesce(1)


@case("default", "small_batches", "no_aqe", cluster=True)
def cogroups(spark):
    both = groups(spark).groupBy("k").cogroup(others(spark).groupBy("k"))
    return [
        sorted(both.applyInPandas(_pair, "k string, l long, r long").collect()),
        sorted(both.applyInPandas(_pair_with_key, "t string").collect()),
    ]


@case()
def cogroups_wrong(spark):
    both = groups(spark, 1).groupBy("k").cogroup(others(spark).where("k = 'a'").groupBy("k"))
    return attempts({
        "missing": lambda: both.applyInPandas(lambda a, b: a[["n"]], "n long, x double").collect(),
        "series": lambda: both.applyInPandas(lambda a, b: a.n, "n long").collect(),
        "arguments": lambda: both.applyInPandas(lambda a: a, "n long").collect(),
        "keys": lambda: groups(spark, 2).groupBy("k", "n").cogroup(others(spark).groupBy("k"))
        .applyInPandas(_pair, "k string, l long, r long").collect(),
    })  # fmt: skip


@case()
def mixed_aggregates_refused(spark):
    return attempts({
        "with native": lambda: groups(spark).groupBy("k").agg(mean_of("x"), F.sum("n")).collect(),
        "distinct": lambda: groups(spark).select(mean_of("x")).collect(),
        "pivot": lambda: groups(spark).groupBy("k").pivot("n", [1]).agg(mean_of("x")).collect(),
    })  # fmt: skip
