"""pandas UDFs from columns to a column: types, forms, and what stock says to wrong results."""

import datetime
import decimal
from collections.abc import Iterator

import numpy as np
import pandas as pd
from pyspark.sql import functions as F
from pyspark.sql.functions import col, expr, lit, pandas_udf

from cases.arrow_udf_types import EXTREMES, KINDS
from cases.attempts import attempt, attempts
from harness.registry import case


def _frame(spark, kind, values):
    column = "string" if "char" in kind else kind
    return spark.createDataFrame(list(enumerate(values)), f"i int, v {column}", verifySchema=False).coalesce(1)


def _same_and_seen(frame, kind):
    @pandas_udf("string" if kind == "void" else kind)
    def same(s):
        return s

    @pandas_udf("string")
    def seen(s):
        if isinstance(s, pd.DataFrame):
            return pd.Series([f"frame {dict(s.dtypes)} {row}"[:300] for row in s.itertuples(index=False, name=None)])
        return pd.Series([f"{s.dtype} {type(v).__name__} {v!r}"[:300] for v in s])

    text = "cast(w as string)" if kind != "binary" else "hex(w)"
    chosen = frame.select("i", same("v").alias("w"), seen("v").alias("seen"))
    return chosen.select("i", "w", "seen", expr(text).alias("t")).orderBy("i").collect()


def _through(kind, values):
    def run(spark):
        return _same_and_seen(_frame(spark, kind, values), kind)

    run.__module__ = __name__
    return run


for _kind, _values in KINDS.items():
    if "char" not in _kind:
        case("default", name=f"through_{_kind}", cluster=_kind in ("string", "timestamp"))(_through(_kind, _values))
for _kind in ("boolean", "byte", "long", "double"):
    # Without a null the column has a type of numpy's.
    case("default", name=f"through_whole_{_kind}")(_through(_kind, [v for v in KINDS[_kind] if v is not None]))
for _kind in ("timestamp", "timestamp_ntz", "date", "array<timestamp>"):
    case("berlin", name=f"berlin_{_kind}")(_through(_kind, KINDS[_kind]))


@case()
def extremes(spark):
    return {
        f"{kind} {value}": attempt(lambda: _same_and_seen(_frame(spark, kind, [value]), kind))
        for kind, values in EXTREMES.items()
        for value in values
    }


@case("default", "berlin")
def times_as_pandas_makes_them(spark):
    """Zones, units and gaps of daylight saving, from text to a column."""

    def parsed(**how):
        @pandas_udf("timestamp")
        def parse(s: pd.Series) -> pd.Series:
            out = pd.to_datetime(s, **how)
            return out if how else out.dt.tz_localize("Europe/Berlin", ambiguous=True, nonexistent="shift_forward")

        return parse

    moments = ["2024-03-31 01:59:59", "2024-03-31 02:30:00", "2024-10-27 02:30:00", "1945-06-01 12:00:00", None]
    frame = spark.createDataFrame([(m,) for m in moments], "s string").coalesce(1)
    return frame.select("s", *[
        F.unix_micros(parse("s")).alias(name)
        for name, parse in {"berlin": parsed(), "utc": parsed(utc=True),
        "naive": parsed(format="%Y-%m-%d %H:%M:%S")}.items()
    ]).collect()  # fmt: skip


@case("default", "small_batches")
def by_type_hints(spark):
    @pandas_udf("double")
    def ratio(a: pd.Series, b: pd.Series) -> pd.Series:
        return a / b

    @pandas_udf("long")
    def plus_one(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for s in batches:
            yield s + 1

    @pandas_udf("long")
    def together(batches: Iterator[tuple[pd.Series, pd.Series]]) -> Iterator[pd.Series]:
        seen = 0
        for a, b in batches:
            seen += len(a)
            yield a * b + seen - seen % 100

    frame = spark.range(0, 8, 1, 2).withColumn("k", col("id") % 3)
    return frame.select(ratio("id", "k"), plus_one("id"), plus_one("k"), together("id", "k")).collect()


@case("default", "small_batches")
def structs_as_frames(spark):
    @pandas_udf("n long, s string, d double")
    def build(s: pd.Series) -> pd.DataFrame:
        return pd.DataFrame({"d": s / 4, "n": s, "s": s.astype(str) + "é"})

    @pandas_udf("string")
    def look(f: pd.DataFrame) -> pd.Series:
        return f.n.astype(str) + "|" + f.s

    @pandas_udf("n long, s string, d double")
    def turned(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for f in batches:
            yield f.assign(n=-f.n)[["d", "s", "n"]]

    frame = spark.range(0, 7, 1, 2).withColumn("r", build("id"))
    return [
        frame.select("r", look("r"), turned("r")).collect(),
        frame.select(build("r.n").alias("x")).select("x.*").collect(),
    ]


@case("default", "small_batches")
def keywords_and_defaults(spark):
    @pandas_udf("string")
    def show(a: pd.Series, b: pd.Series = None, **more: pd.Series) -> pd.Series:
        parts = [a.astype(str)] + [p.astype(str) for p in (b, *more.values()) if p is not None]
        return pd.Series(["/".join(t) for t in zip(*parts)])

    frame = spark.range(0, 5, 1, 1).withColumn("s", F.concat(lit("é"), col("id")))
    return [
        frame.select(show("id")).collect(),
        frame.select(show(b=col("s"), a=col("id"))).collect(),
        frame.select(show(col("id"), z=col("s"), y=lit(1))).collect(),
    ]


@case()
def empty_input(spark):
    plus = pandas_udf(lambda s: s + 1, "long")
    frame = spark.range(0, 3, 1, 5)
    return [frame.select(plus("id")).collect(), frame.where("id > 5").select(plus("id")).collect()]


@case()
def state_made_once_per_partition(spark):
    @pandas_udf("string")
    def tag(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        made, n = "model", 0
        for s in batches:
            n += 1
            yield s.astype(str) + f"{made}{n}"

    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "2")
    try:
        return spark.range(0, 5, 1, 1).select(tag("id")).collect()
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


def _returning(spark, make, kind, column="id"):
    @pandas_udf(kind)
    def wrong(s):
        return make(s)

    return spark.range(0, 3, 1, 1).select(wrong(column).alias("v")).collect()


LENGTHS = {
    "short": lambda s: s[:1], "long": lambda s: pd.concat([s, s]), "scalar": lambda s: 1, "list": lambda s: [1, 2, 3],
    "array": lambda s: np.arange(3), "text": lambda s: "abc", "index": lambda s: pd.Index([7, 8, 9]),
    "shuffled": lambda s: s.sort_values(ascending=False), "frame": lambda s: pd.DataFrame({"a": s}),
}  # fmt: skip


@case()
def wrong_lengths_and_containers(spark):
    return attempts({name: lambda make=make: _returning(spark, make, "long") for name, make in LENGTHS.items()})


COLUMNS = {
    "ints": lambda s: pd.Series([1, 2, 3]), "floats": lambda s: pd.Series([1.0, 2.5, np.nan]),
    "big": lambda s: pd.Series([1, 300, 2**40]), "texts": lambda s: pd.Series(["1", "a", None]),
    "bools": lambda s: pd.Series([True, False, True]), "mixed": lambda s: pd.Series([1, "a", None]),
    "times": lambda s: pd.Series(pd.date_range("2024-01-01 12:00", periods=3)),
    "deltas": lambda s: pd.Series(pd.to_timedelta([1, 2, 3], unit="h")),
    "decimals": lambda s: pd.Series([decimal.Decimal("1.25"), decimal.Decimal("7"), None]),
    "dates": lambda s: pd.Series([datetime.date(2024, 1, 1), None, datetime.date(2024, 1, 2)]),
    "bytes": lambda s: pd.Series([b"a", b"\xff", None]), "lists": lambda s: pd.Series([[1], [], None]),
    "nullable": lambda s: pd.Series([1, None, 3], dtype="Int64"),
    "category": lambda s: pd.Series(["a", "b", "a"], dtype="category"),
    "arrow": lambda s: pd.Series([1, None, 3], dtype="int32[pyarrow]"),
    "uint64": lambda s: pd.Series([1, 2**63, 3], dtype="uint64"),
    "strings": lambda s: pd.Series(["a", None, "é"], dtype="string"), "nulls": lambda s: pd.Series([None] * 3),
}  # fmt: skip
# What converts, and one column of each way to fail: a failure costs stock a new process.
AS = {
    "int": "ints bools nullable floats texts",
    "byte": "ints big",
    "double": "ints floats decimals nullable arrow mixed",
    "string": "texts strings nulls bytes category decimals ints times",
    "boolean": "bools ints nulls texts",
    "timestamp": "times dates nulls ints deltas",
    "date": "dates times nulls texts",
    "decimal(10,1)": "decimals ints floats texts",
    "binary": "bytes strings ints",
    "array<int>": "lists nulls ints",
    "interval day to second": "deltas ints times",
}


def _as(kind, names):
    def run(spark):
        return attempts({n: lambda make=COLUMNS[n]: _returning(spark, make, kind) for n in names.split()})

    run.__module__ = __name__
    return run


for _kind, _names in AS.items():
    case("default", name=f"wrong_type_as_{_kind}")(_as(_kind, _names))


FRAMES = {
    "right": lambda s: pd.DataFrame({"a": s, "b": "x"}), "swapped": lambda s: pd.DataFrame({"b": "x", "a": s}),
    "missing": lambda s: pd.DataFrame({"a": s}), "extra": lambda s: pd.DataFrame({"a": s, "b": "x", "c": 1}),
    "renamed": lambda s: pd.DataFrame({"a": s, "z": "x"}), "numbered": lambda s: pd.DataFrame({0: s, 1: "x"}),
    "types": lambda s: pd.DataFrame({"a": "x", "b": s}), "series": lambda s: s,
    "short": lambda s: pd.DataFrame({"a": [1], "b": ["x"]}),
    "twice": lambda s: pd.DataFrame([[1, 2, "x"]] * 3, columns=["a", "a", "b"]),
}  # fmt: skip


@case()
def wrong_frames(spark):
    return attempts(
        {name: lambda make=make: _returning(spark, make, "a long, b string") for name, make in FRAMES.items()}
    )


@case()
def wrong_iterators(spark):
    def returning(make):
        @pandas_udf("long")
        def odd(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
            return make(batches)

        return spark.range(0, 3, 1, 1).select(odd("id").alias("v")).collect()

    table = {
        "nothing": lambda b: iter(()), "none": lambda b: None, "too many": lambda b: (s for s in [*b, pd.Series([9])]),
        "not read": lambda b: iter([pd.Series([1, 2, 3])]), "lists": lambda b: ([*s] for s in b),
        "scalars": lambda b: iter([1, 2, 3]),
        "list": lambda b: list(b), "split": lambda b: (pd.Series([x]) for s in b for x in s),
        "joined": lambda b: iter([pd.concat(list(b))]),
    }  # fmt: skip
    return attempts({name: lambda make=make: returning(make) for name, make in table.items()})


def _failing(name):
    def missing_column(s):
        return pd.DataFrame({"a": s})["b"]

    def missing_method(s):
        return s.no_such_method()

    def of_numpy(s):
        return pd.Series(np.linalg.inv(np.zeros((3, 3)))[0])

    def of_pandas(s):
        return pd.to_datetime(pd.Series(["2024-13-01"] * 3), format="%Y-%m-%d")

    def of_arrow(s):
        import pyarrow as pa

        return pa.array([1, "a"]).to_pandas()

    def chained(s):
        try:
            return s / None
        except TypeError as e:
            raise RuntimeError("nö") from e

    return {f.__name__: f for f in (missing_column, missing_method, of_numpy, of_pandas, of_arrow, chained)}[name]


for _name in ("missing_column", "missing_method", "of_numpy", "of_pandas", "of_arrow", "chained"):

    def _run(spark, name=_name):
        return _returning(spark, _failing(name), "long")

    case("default", name=f"error_{_name}")(_run)


@case()
def refused_on_the_driver(spark):
    def unhinted():
        @pandas_udf("long")
        def f(s: pd.Series) -> int:
            return 1

        return spark.range(2).select(f("id")).collect()

    return attempts({
        "no arguments": lambda: spark.range(2).select(pandas_udf(lambda: pd.Series([1, 2]), "long")()).collect(),
        "aggregate": unhinted,
        "no type": lambda: pandas_udf(lambda s: s),
        "type": lambda: pandas_udf(lambda s: s, "interval year to month")("id"),
        "named": lambda: spark.range(2).select(pandas_udf(lambda a: a, "long")(b=col("id"))).collect(),
        "twice": lambda: spark.range(2).select(pandas_udf(lambda a: a, "long")(col("id"), a=col("id"))).collect(),
    })  # fmt: skip
