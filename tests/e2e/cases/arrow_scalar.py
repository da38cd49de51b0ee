"""Arrow UDFs (4.1): arrays in, arrays out; scalars, iterators, aggregates and windows."""

import datetime
import decimal
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.functions import col, expr, lit, pandas_udf, udf

from cases.arrow_udf_types import KINDS
from cases.attempts import attempts
from cases.pandas_grouped import groups
from harness.registry import case


def arrow_udf(*args):
    from pyspark.sql.functions import arrow_udf as of_spark  # not there before 4.1

    return of_spark(*args)


def _through(kinds):
    def run(spark):
        found = {}
        for kind in kinds:
            frame = spark.createDataFrame(
                list(enumerate(KINDS[kind])), f"i int, v {kind}", verifySchema=False
            ).coalesce(1)

            @arrow_udf(kind)
            def same(v: pa.Array) -> pa.Array:
                return v

            @arrow_udf("string")
            def seen(v: pa.Array) -> pa.Array:
                return pa.array([f"{v.type} {x!r}"[:200] for x in v])

            found[kind] = frame.select("i", same("v").alias("w"), seen("v").alias("seen")).orderBy("i").collect()
        return found

    run.__module__ = __name__
    return run


TYPES = {
    "numbers": ["boolean", "byte", "long", "double", "decimal(38,18)"],
    "texts_and_times": ["string", "binary", "date", "timestamp", "timestamp_ntz", "interval day to second"],
    "nested": ["array<array<string>>", "map<string,int>", "struct<a:int,b:string>", "array<timestamp>"],
}
for _name, _kinds in TYPES.items():
    case("default", since="4.1", name=f"through_{_name}")(_through(_kinds))
case("berlin", since="4.1", name="berlin_times")(_through(["timestamp", "timestamp_ntz", "array<timestamp>"]))


@case("default", "small_batches", since="4.1", cluster=True)
def scalars(spark):
    @arrow_udf("long")
    def product(a: pa.Array, b: pa.Array) -> pa.Array:
        return pc.multiply(a, b)

    @arrow_udf("long")
    def plus_one(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for a in batches:
            yield pc.add(a, 1)

    @arrow_udf("string")
    def both(batches: Iterator[tuple[pa.Array, pa.Array]]) -> Iterator[pa.Array]:
        for n, (a, b) in enumerate(batches):
            yield pc.binary_join_element_wise(a.cast("string"), b.cast("string"), f"|{n}|")

    @arrow_udf("n long, s string")
    def build(a: pa.Array) -> pa.Array:
        return pa.StructArray.from_arrays([a, a.cast("string")], names=["n", "s"])

    frame = spark.range(0, 8, 1, 2).withColumn("k", col("id") % 3)
    return [
        frame.select(
            product("id", "k"), product(b=col("k"), a=lit(2)), build("id").alias("r"), plus_one("id")
        ).collect(),
        frame.select(both("id", "k")).collect(),
        frame.where("id < 0").select(product("id", "k"), plus_one("id")).collect(),
    ]


@case("default", "small_batches", since="4.1")
def mixed_with_other_kinds(spark):
    double = arrow_udf(lambda a: pc.multiply(a, 2), "long")
    minus = pandas_udf(lambda s: s - 1, "long")
    inc = udf(lambda x: x + 1, "long", useArrow=True)
    frame = spark.range(0, 7, 1, 1)
    return frame.select(double(minus("id")), inc(double("id")), minus(inc(double("id"))), double("id")).collect()


@case(since="4.1")
def wrong_results(spark):
    frame = spark.range(0, 3, 1, 1)
    table = {
        "short": lambda a: a[:1], "list": lambda a: a.to_pylist(), "none": lambda a: None, "scalar": lambda a: 1,
        "int32": lambda a: a.cast("int32"), "text": lambda a: a.cast("string"), "words": lambda a: pa.array(["x"] * 3),
        "float": lambda a: pa.array([0.5, 1.0, 2.0]), "chunked": lambda a: pa.chunked_array([a]),
        "series": lambda a: a.to_pandas(),
        "dictionary": lambda a: a.dictionary_encode(), "raises": lambda a: pc.divide(a, 0),
    }  # fmt: skip
    return attempts(
        {n: lambda f=f: frame.select(arrow_udf(f, "long")("id").alias("v")).collect() for n, f in table.items()}
    )


@case(since="4.1")
def wrong_decimals_and_times(spark):
    frame = spark.range(0, 1, 1, 1)
    values = {
        "decimal(10,1)": pa.array([decimal.Decimal("1.25")]), "decimal(38,18)": pa.array([decimal.Decimal("1.25")]),
        "timestamp": pa.array([datetime.datetime(2024, 2, 29, 12)]),
        "timestamp_ntz": pa.array([0], pa.timestamp("us", "UTC")),
        "date": pa.array([datetime.datetime(2024, 2, 29, 12)]), "string": pa.array(["é"], pa.large_string()),
        "array<int>": pa.array([[1, None]]), "binary": pa.array(["é"]),
    }  # fmt: skip

    def one(kind, array):
        f = arrow_udf(lambda a: array, kind)
        return frame.select(f("id").alias("v")).select("v", expr("cast(v as string)")).collect()

    return attempts({kind: lambda kind=kind, array=array: one(kind, array) for kind, array in values.items()})


@case(since="4.1")
def wrong_iterators(spark):
    def returning(make):
        @arrow_udf("long")
        def odd(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
            return make(batches)

        return spark.range(0, 3, 1, 1).select(odd("id").alias("v")).collect()

    table = {
        "nothing": lambda b: iter(()), "none": lambda b: None, "lists": lambda b: (a.to_pylist() for a in b),
        "split": lambda b: (a[i : i + 1] for a in b for i in range(len(a))),
        "too many": lambda b: (pa.concat_arrays([a, a]) for a in b),
    }  # fmt: skip
    return attempts({name: lambda make=make: returning(make) for name, make in table.items()})


@case("default", "small_batches", since="4.1", cluster=True)
def aggregates(spark):
    @arrow_udf("double")
    def mean(a: pa.Array) -> float:
        return pc.mean(a).as_py()

    @arrow_udf("string")
    def pairs(a: pa.Array, b: pa.Array) -> str:
        return " ".join(sorted(f"{x}:{y}" for x, y in zip(a.to_pylist(), b.to_pylist())))

    frame = groups(spark)
    return [
        sorted(frame.groupBy("k").agg(mean("x").alias("m"), pairs("n", b=col("x"))).collect(), key=str),
        frame.agg(mean("n")).collect(),
        frame.where("n < 0").agg(pairs("n", "x")).collect(),
    ]


@case("default", "small_batches", since="4.2")
def aggregates_over_iterators(spark):
    @arrow_udf("long")
    def total(batches: Iterator[pa.Array]) -> int:
        return sum(pc.sum(a).as_py() for a in batches)

    @arrow_udf("string")
    def pairs(batches: Iterator[tuple[pa.Array, pa.Array]]) -> str:
        return " ".join(sorted(f"{x}:{y}" for a, b in batches for x, y in zip(a.to_pylist(), b.to_pylist())))

    frame = groups(spark)
    return [
        sorted(frame.groupBy("k").agg(total("n").alias("t")).collect(), key=str),
        sorted(frame.groupBy("k").agg(pairs("n", "x")).collect(), key=str),
    ]


@case(since="4.1")
def aggregates_wrong(spark):
    from pyspark.sql.functions import ArrowUDFType

    table = {
        "scalar of Arrow": lambda a: pc.sum(a), "text": lambda a: "x", "array": lambda a: a, "none": lambda a: None,
        "float": lambda a: 1.5, "raises": lambda a: a.no_such,
    }  # fmt: skip
    frame = groups(spark, 3)
    return attempts({
        n: lambda f=f: frame.agg(arrow_udf(f, "long", ArrowUDFType.GROUPED_AGG)("n").alias("v")).collect()
        for n, f in table.items()
    })  # fmt: skip


@case("default", "small_batches", since="4.1")
def windows(spark):
    @arrow_udf("long")
    def total(a: pa.Array) -> int:
        return pc.sum(a).as_py()

    @arrow_udf("array<long>")
    def all_of(a: pa.Array) -> list:
        return a.to_pylist()

    by = Window.partitionBy("k")
    rows = by.orderBy("n")
    return groups(spark).select(
        "k", "n", total("n").over(by).alias("whole"), total("n").over(rows).alias("growing"),
        all_of("n").over(rows.rowsBetween(-1, 1)).alias("three"),
        total("n").over(rows.rangeBetween(-6, 0)).alias("near"),
        all_of("n").over(rows.rowsBetween(0, Window.unboundedFollowing)).alias("rest"), F.sum("n").over(rows),
    ).orderBy("n").collect()  # fmt: skip
