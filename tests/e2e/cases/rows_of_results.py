"""Results that leave as rows: whoever takes them gets the same, in blocks or computed with what is above."""

import os
import tempfile

import pandas as pd
import pyarrow as pa
from pyspark.sql.functions import arrow_udf, broadcast, col, pandas_udf
from pyspark.sql.types import BinaryType, BooleanType, IntegerType, LongType, StringType, StructField, StructType

from cases.attempts import attempt
from harness.registry import case


@pandas_udf(LongType())
def plus_one(v: pd.Series) -> pd.Series:
    return v + 1


@pandas_udf(StringType())
def stretched(v: pd.Series) -> pd.Series:
    return v.map(lambda n: None if n % 5 == 0 else "é" * (n % 40))


def identity(batches):
    yield from batches


def _kinds(spark, rows):
    return spark.range(0, rows, 1, 2).selectExpr(
        "id",
        "if(id % 3 = 0, null, cast(id as int)) as i",
        "if(id % 4 = 0, null, id % 2 = 0) as even",
        "cast(id - 50 as short) as sh",
        "cast(id % 100 - 50 as byte) as b",
        "if(id % 7 = 0, cast('NaN' as float), -cast(id as float) / 3) as f",
        "if(id % 6 = 0, null, -0.0d * id) as d",
        "if(id % 5 = 0, null, cast(id as string)) as s",
        "cast(cast(id as string) as binary) as bin",
        "date_add(date'1950-01-01', cast(id as int)) as day",
        "timestamp_micros(id * 1000003) as t",
        "cast(timestamp_micros(id * 1000003) as timestamp_ntz) as n",
        "make_ym_interval(0, cast(id as int)) as ym",
    )


@case("no_aqe", "default", since="4.3")
def takers_of_every_kind(spark):
    """Writers, caches, shuffles, sorts, joins, limits and the driver; columns renamed, twice and left out."""
    rows = _kinds(spark, 300)
    frames = {
        "beside": rows.select("*", plus_one("id").alias("p"), stretched("id").alias("q")),
        "turned": rows.select(stretched("id").alias("id"), plus_one("i").alias("p"), "s", col("s").alias("again")),
        "mapped": rows.drop("ym").mapInArrow(identity, rows.drop("ym").schema),
        "one": rows.select(plus_one("id")),
        "none": rows.select(plus_one("id").alias("p")).select(),
    }
    said = []
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in frames.items():
            keys = frame.columns[:1]

            def written(frame=frame, name=name):
                path = os.path.join(folder, name)
                frame.write.parquet(path)
                return spark.read.parquet(path)

            takers = {
                "writer": written,
                "cache": frame.cache,
                "shuffle": lambda frame=frame, keys=keys: frame.repartition(3, *keys),
                "round robin": lambda frame=frame: frame.repartition(3),
                "coalesced": lambda frame=frame: frame.coalesce(1),
                "sorted": lambda frame=frame, keys=keys: frame.sort(*keys),
                "distinct": frame.distinct,
                "limited": lambda frame=frame: frame.limit(7).selectExpr("count(*)"),
                "top": lambda frame=frame: frame.sort(*frame.columns).limit(7),
                "joined": lambda frame=frame, keys=keys: frame.join(broadcast(frame.dropDuplicates(keys)), keys),
                "twice": lambda frame=frame: frame.union(frame),
                "filtered": lambda frame=frame, keys=keys: frame.filter(col(keys[0]).isNotNull()),
                "of rows": lambda frame=frame: spark.createDataFrame(frame.rdd, frame.schema),
            }
            for taker, take in takers.items():
                said.append((name, taker, attempt(lambda take=take: sorted(map(str, take().collect())))))
            said.append((name, "pandas", attempt(lambda frame=frame: frame.toPandas().to_string())))
            said.append((name, "iterator", attempt(lambda frame=frame: len(list(frame.toLocalIterator())))))
            said.append((name, "count", frame.count()))
            frame.unpersist()
    return said


@case("no_aqe", since="4.3")
def rows_longer_than_a_block(spark):
    """Some of many, in a batch with short ones."""

    @arrow_udf(StringType())
    def long(v: pa.Array) -> pa.Array:
        return pa.array(["x" * (100_000 if n % 40 == 7 else n % 60) for n in v.to_pylist()])

    frame = spark.range(0, 400, 1, 2).select("id", long("id").alias("t"), plus_one("id"))
    return [(row[0], len(row[1]), row[2]) for row in frame.sort("id").collect()]


@case("no_aqe", since="4.3")
def a_null_where_none_is_allowed(spark):
    """The schema of the results says that there is none; what Spark reads of it is not ours to mend."""
    said = []
    for kind, value in (
        (LongType(), 1),
        (IntegerType(), 1),
        (BooleanType(), True),
        (StringType(), "a"),
        (BinaryType(), b"a"),
    ):

        def gaps(batches, value=value):
            for batch in batches:
                yield pd.DataFrame({"v": pd.Series([value, None] * (len(batch) // 2), dtype=object)})

        frame = spark.range(0, 4, 1, 1).mapInPandas(gaps, StructType([StructField("v", kind, False)]))
        said.append((str(kind), attempt(lambda frame=frame: [tuple(row) for row in frame.collect()])))
    return said
