"""What computes rows is compiled together with the writing of their batches, where Spark compiles it."""

import os
import tempfile
import zlib

import pandas as pd
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql.functions import arrow_udf, col, pandas_udf, rand, spark_partition_id, udf
from pyspark.sql.types import LongType, StringType

from cases.attempts import attempt
from harness.registry import case


@pandas_udf(LongType())
def plus_one(v: pd.Series) -> pd.Series:
    return v + 1


def identity(batches):
    yield from batches


@case("no_aqe", since="4.3")
def code_of_every_kind_fills_batches(spark):
    """What computes the rows is compiled with the batches' columns, or not: the settings say, or the expressions."""

    @pandas_udf("string")
    def shown(*columns: pd.Series) -> pd.Series:
        return pd.concat(columns, axis=1).astype(str).agg("|".join, axis=1)

    rows = spark.range(0, 500, 1, 2).selectExpr(
        "id",
        "if(id % 3 = 0, null, cast(id as int)) as i",
        "id % 2 = 0 as even",
        "cast(id as short) as sh",
        "cast(id % 100 as byte) as b",
        "cast(id as float) / 3 as f",
        "if(id % 5 = 0, null, cast(id as string)) as s",
        "cast(cast(id as string) as binary) as bin",
        "cast(id as decimal(20, 3)) as d",
        "date_add(date'2020-01-01', cast(id as int)) as day",
        "array(id, null) as a",
        "named_struct('x', id) as st",
        "map(id, 'v') as m",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows")
        rows.write.parquet(path)
        kinds = {
            "range": rows,
            "parquet": spark.read.parquet(path),
            "filtered": rows.filter("i > 7 and s is not null"),
            "sorted": rows.sort(col("id").desc()).limit(300),
            "exploded": rows.selectExpr("*", "explode(array(1, 2)) as e"),
            "joined": rows.join(rows.selectExpr("id as other"), col("id") == col("other") + 1).drop("other"),
            "grouped": rows.groupBy("id").agg({"i": "max"}).selectExpr("id", "`max(i)` as i"),
            "cached": rows.select("id", "i", "s", "a").cache(),
            "empty": rows.filter("id < 0"),
        }
        said = []
        for setting in (
            {},
            {"spark.sql.codegen.wholeStage": "false"},
            {"spark.sql.codegen.hugeMethodLimit": "1"},
            {"spark.sql.codegen.maxFields": "3"},
            {"spark.sql.execution.arrow.maxRecordsPerBatch": "7"},
            {"spark.sql.execution.arrow.maxBytesPerBatch": "600"},
            {"spark.sql.columnVector.offheap.enabled": "true"},
            {"spark.sql.parquet.enableVectorizedReader": "false"},
        ):
            for name, value in setting.items():
                spark.conf.set(name, value)
            for kind, frame in kinds.items():
                plain = [c for c in frame.columns if c not in ("a", "st", "m", "bin")]
                found = frame.select(
                    plus_one(col("id") * 2).alias("p"),
                    shown(*plain, (col("i") + 1).alias("j"), col("i") % 4).alias("t"),
                    *frame.columns,
                ).mapInArrow(identity, "p long, t string, " + frame._jdf.schema().toDDL())
                lines = sorted(map(str, found.collect()))
                said.append((sorted(setting), kind, len(lines), zlib.crc32("\n".join(lines).encode())))
            for name in setting:
                spark.conf.unset(name)
        kinds["cached"].unpersist()
    return said


@case("no_aqe", since="4.3")
def arguments_that_differ_from_row_to_row(spark):
    """Random numbers and partitions' numbers are computed once a row, also within compiled code."""

    @pandas_udf("double")
    def same(v: pd.Series) -> pd.Series:
        return v

    frame = spark.range(0, 100, 1, 4).filter("id % 3 = 1")
    found = frame.select("id", same(rand(7)), same(spark_partition_id().cast("double"))).sort("id").collect()
    return [tuple(row) for row in found]


@case("no_aqe", since="4.3")
def columns_of_numbers_are_taken_as_they_are(spark):
    """From files and caches, across their batches and Arrow's, with and without nulls and dictionaries."""
    rows = spark.range(0, 9000, 1, 1).selectExpr(
        "id",
        "if(id between 4000 and 4300, null, id * 3) as l",
        "cast(id % 5 as int) as few",
        "if(id % 7 = 0, null, cast(id % 6 as int)) as i",
        "cast(null as int) as none",
        "cast(id as short) as sh",
        "cast(id % 100 - 50 as byte) as b",
        "if(id % 9 = 0, cast('NaN' as float), cast(id as float) / 3) as f",
        "if(id % 11 = 0, null, -0.0d * id) as d",
        "if(id % 13 = 0, null, date_add(date'1950-01-01', cast(id as int))) as day",
        "timestamp_micros(id * 1000003) as t",
        "cast(id % 2 as int) as part",
    )

    def summed(batches):
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"t": [f"{batch.num_rows} {zlib.crc32(str(batch.to_pylist()).encode())}"]})

    said = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("parquet", "orc"):
            rows.write.partitionBy("part").format(kind).save(os.path.join(folder, kind))
        for setting in (
            {},
            {"spark.sql.columnVector.offheap.enabled": "true"},
            {"spark.sql.execution.arrow.maxRecordsPerBatch": "1000"},
            {"spark.sql.execution.arrow.maxBytesPerBatch": "60000"},
            {"spark.sql.parquet.columnarReaderBatchSize": "7", "spark.sql.orc.columnarReaderBatchSize": "7"},
        ):
            for name, value in setting.items():
                spark.conf.set(name, value)
            frames = {kind: spark.read.format(kind).load(os.path.join(folder, kind)) for kind in ("parquet", "orc")}
            frames["cached"] = rows.cache()
            for kind, frame in frames.items():
                found = [row.t for row in frame.mapInArrow(summed, "t string").collect()]
                added = frame.select("i", "part", plus_one("l").alias("p"), plus_one("id").alias("q")).collect()
                said.append((*setting.items(), kind, found, zlib.crc32(str(sorted(map(str, added))).encode())))
            frames["cached"].unpersist()
            for name in setting:
                spark.conf.unset(name)
    return said


@case("no_aqe", since="4.3")
def text_with_wide_offsets(spark):
    """Every node's columns, those that stay beside the results as well."""

    @arrow_udf(StringType())
    def kinds(*columns: pa.Array) -> pa.Array:
        return pa.array([str([column.type for column in columns])] * len(columns[0]), pa.large_string())

    @pandas_udf(StringType())
    def joined(*columns: pd.Series) -> pd.Series:
        return pd.concat(columns, axis=1).astype(str).agg("|".join, axis=1)

    @pandas_udf(StringType())
    def most(values: pd.Series) -> str:
        return values.dropna().max()

    def both(left: pd.DataFrame, right: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"t": [str(left.s.tolist() + right.s.tolist())]})

    spark.conf.set("spark.sql.execution.arrow.useLargeVarTypes", "true")
    rows = spark.range(0, 30, 1, 2).selectExpr(
        "id % 3 as k",
        "if(id % 5 = 0, null, cast(id as string)) as s",
        "cast(cast(id as string) as binary) as bin",
        "array(cast(id as string), null) as a",
        "named_struct('x', cast(id as string)) as st",
    )
    frames = (
        rows.select("*", kinds("s", "bin", "a", "st").alias("t")),
        rows.select("*", joined("s", col("k") + 1, "a").alias("t"), udf(lambda s: s, "string", useArrow=True)("s")),
        rows.select("k", "s").mapInPandas(identity, "k long, s string"),
        rows.mapInArrow(identity, rows.schema),
        rows.groupBy("k").agg(most("s")),
        rows.select("k", "s", most("s").over(Window.partitionBy("k").orderBy("bin").rowsBetween(-1, 1))),
        rows.groupBy("k").applyInPandas(lambda group: group, rows.schema),
        rows.groupBy("k").cogroup(rows.groupBy("k")).applyInPandas(both, "t string"),
    )
    try:
        return [attempt(lambda frame=frame: sorted(map(str, frame.collect()))) for frame in frames]
    finally:
        spark.conf.unset("spark.sql.execution.arrow.useLargeVarTypes")
