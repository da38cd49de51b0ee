"""How many rows the batches have that functions see: Spark cuts rows by its two settings, and columns not at all."""

import contextlib
import itertools
import tempfile
from collections.abc import Iterator

import pandas as pd
from pyspark.sql.functions import arrow_udf, col, pandas_udf, udf
from pyspark.sql.types import LongType

from cases.attempts import attempts
from harness.registry import case

ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"
AS_COLUMNS = "spark.sql.execution.arrow.pythonUDF.columnarInput.enabled"
FILE = "spark.sql.parquet.columnarReaderBatchSize"
CACHE = "spark.sql.inMemoryColumnarStorage.batchSize"


@pandas_udf(LongType())
def length(v: pd.Series) -> pd.Series:
    return pd.Series([len(v)] * len(v))


@pandas_udf(LongType())
def length_and(v: pd.Series, w: pd.Series) -> pd.Series:
    return pd.Series([len(v) + 0 * len(w)] * len(v))


@pandas_udf(LongType())
def lengths(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
    for v in batches:
        yield pd.Series([len(v)] * len(v))


@pandas_udf(LongType())
def same(v: pd.Series) -> pd.Series:
    return v


@arrow_udf(LongType())
def arrow_length(v):
    import pyarrow as pa

    return pa.array([len(v)] * len(v), pa.int64())


def sizes(batches):
    for batch in batches:
        yield pd.DataFrame({"n": [len(batch)] * len(batch)})


@contextlib.contextmanager
def settings(spark, **values):
    for key, value in values.items():
        spark.conf.set(globals()[key], value)
    try:
        yield
    finally:
        for key in values:
            spark.conf.unset(globals()[key])


def told(frame, column="n"):
    """The batches' rows, in order, of each partition; a length that several in a row have is told once."""
    parts = frame.rdd.glom().collect()
    return [[(n, len(list(run))) for n, run in itertools.groupby(r[column] for r in part)] for part in parts]


def parquet(spark, folder):
    spark.range(0, 1000, 1, 1).selectExpr("id", "if(id % 3 = 0, null, repeat('é', id % 40)) as s").write.parquet(
        f"{folder}/p"
    )
    return spark.read.parquet(f"{folder}/p")


def functions(frame):
    """Of a frame with a column of numbers."""

    def beside(lower, upper):
        """No column is left out between the two."""
        return frame.select("*", lower.alias("m")).select("*", upper.alias("n"))

    return {
        "one": lambda: told(frame.select(length("id").alias("n"))),
        "beside others": lambda: told(frame.select("*", length("id").alias("n"))),
        "iterators": lambda: told(frame.select(lengths("id").alias("n"))),
        "arrow": lambda: told(frame.select(arrow_length("id").alias("n"))),
        "computed": lambda: told(frame.select("*", length(col("id") + 1).alias("n"))),
        "computed and not": lambda: told(frame.select(length_and("id", col("id") + 1).alias("n"))),
        "filtered": lambda: told(frame.filter("id % 2 = 0").select(length("id").alias("n"))),
        "map": lambda: told(frame.select("id").mapInPandas(sizes, "n long")),
        "one over another": lambda: told(frame.select(arrow_length(same("id")).alias("n"))),
        "computed over another": lambda: told(frame.select(length(arrow_length("id") + 1).alias("n"))),
        "over one that computes": lambda: told(frame.select(arrow_length(same(col("id") + 1)).alias("n"))),
        "of three": lambda: told(frame.select(length(arrow_length(same("id") + 1)).alias("n"))),
        "beside the one below": lambda: told(beside(same("id"), arrow_length("m"))),
        "the one below": lambda: told(beside(length("id"), same("m")), "m"),
        "computed beside the one below": lambda: told(beside(same("id"), arrow_length(col("m") + 1))),
        "beside one that computes": lambda: told(beside(same(col("id") + 1), arrow_length("m"))),
        "beside two": lambda: told(beside(same("id"), arrow_length("m")).select("*", length("n").alias("o")), "o"),
        "two tables": lambda: told(frame.union(frame).select(length("id").alias("n"))),
        "limited": lambda: told(frame.limit(150).select(length("id").alias("n"))),
        "plain": lambda: (
            frame.select(udf(lambda n: n + 1, "long", useArrow=True)("id").alias("n")).agg({"n": "sum"}).collect()
        ),
    }


@case(since="4.1")
def of_files(spark):
    with tempfile.TemporaryDirectory() as folder:
        frame = parquet(spark, folder)
        with settings(spark, ROWS="30", FILE="128"):
            found = [attempts(functions(frame))]
        with settings(spark, ROWS="700", BYTES="900", FILE="128"):
            found.append(attempts(functions(frame)))
        return found


@case(since="4.2")
def of_files_as_rows(spark):
    with tempfile.TemporaryDirectory() as folder:
        frame = parquet(spark, folder)
        with settings(spark, ROWS="70", FILE="128", AS_COLUMNS="false"):
            return attempts(functions(frame))


@case(since="4.1")
def of_cached_numbers(spark):
    with settings(spark, ROWS="30", CACHE="100"):
        frame = spark.range(0, 700, 1, 2).selectExpr("id", "id / 2 as x").cache()
        try:
            run = functions(frame)
            del run["limited"]  # Stock forgets the setting there: `columnar.settings_hold_below_a_shuffle_of_an_rdd`
            return attempts(run)
        finally:
            frame.unpersist()


@case("arrow_cache", since="4.3")
def of_a_cache_of_arrow(spark):
    """Where Spark makes rows of them: where it takes them as they are, it reads vectors that its cache has closed."""
    # Spark remembers the first one of the process.
    relation = getattr(getattr(spark._jvm, "org.apache.spark.sql.execution.columnar.InMemoryRelation$"), "MODULE$")
    relation.clearSerializer()
    with settings(spark, ROWS="30", CACHE="100"):
        frame = spark.range(0, 700, 1, 2).selectExpr("id", "cast(id as string) as s").cache()
        try:
            run = functions(frame)
            return attempts({name: run[name] for name in ("computed", "computed and not", "filtered", "map")})
        finally:
            frame.unpersist()
            relation.clearSerializer()


def texts(spark, partitions=1):
    return spark.range(0, 600, 1, partitions).selectExpr(
        "id",
        "id % 5 as k",
        "if(id % 4 > 1, null, repeat('é', id % 30)) as s",
        "if(id % 7 = 3, null, cast(repeat('a', id % 50) as binary)) as b",
        "if(id % 5 = 2, null, array(cast(id as string), null, 'x')) as a",
        "if(id % 11 = 2, null, named_struct('t', if(id % 2 = 0, null, repeat('b', id % 20)), 'n', id)) as t",
        "if(id % 6 = 1, null, map(cast(id as string), id)) as m",
    )


@case("no_aqe", since="4.1")
def cut_by_bytes_where_text_has_nulls(spark):
    found, frame = [], texts(spark)
    for most in ("64", "300", "1111", "5000"):
        with settings(spark, BYTES=most):
            found.append(
                attempts(
                    {
                        name: lambda name=name: told(frame.select(arrow_length(name).alias("n")))
                        for name in ("s", "b", "a", "t", "m")
                    }
                    | {
                        "two": lambda: told(frame.select(length_and("s", "id").alias("n"))),
                        "computed": lambda: told(frame.select(length(col("s").substr(2, 9)).alias("n"))),
                        "map": lambda: told(frame.select("id", "s", "b").mapInPandas(sizes, "n long")),
                        "map of nested": lambda: told(frame.select("a", "t").mapInPandas(sizes, "n long")),
                    }
                )
            )
    return found


@case("no_aqe", since="4.2")
def groups_cut_by_bytes(spark):
    """A group of Arrow batches tells how they were cut."""
    import pyarrow as pa

    def batches(group):
        for batch in group:
            yield pa.RecordBatch.from_pydict({"n": [batch.num_rows]}, pa.schema([("n", pa.int64())]))

    from typing import Iterator as Several

    batches.__annotations__ = {"group": Several[pa.RecordBatch], "return": Several[pa.RecordBatch]}
    found, frame = [], texts(spark, 2)
    for most in ("300", "2000", str(5 << 20)):
        with settings(spark, BYTES=most):
            found.append(
                attempts(
                    {
                        names: lambda names=names: sorted(
                            frame.select("k", *names).groupBy("k").applyInArrow(batches, "n long").collect()
                        )
                        for names in ("s", "bs", "a", "tm")
                    }
                )
            )
    return found
