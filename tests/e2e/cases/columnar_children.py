"""Columns that Spark's own readers and caches give, of every type: text with dictionaries and without."""

import os
import tempfile

import pandas as pd
import pyarrow as pa
from pyspark.sql.functions import arrow_udf, pandas_udf, struct
from pyspark.sql.types import StringType

from cases.attempts import attempt
from cases.every_node import settings
from harness.registry import case

NUMBERS = {
    "b": "cast(id % 100 - 50 as byte)",
    "h": "cast(id * 37 % 60000 - 30000 as short)",
    "i": "cast(id * 1000003 % 2000000000 - 1000000000 as int)",
    "l": "id * 7919 - 9223372036854770000",
    "f": "cast(if(id % 9 = 2, 'NaN', if(id % 9 = 3, '-0.0', cast(id / 7 as string))) as float)",
    "d": "cast(if(id % 9 = 4, 'Infinity', cast(id / -3 as string)) as double)",
    "z": "id % 3 = 1",
}
TIMES = {
    "date": "date_add(date'1582-10-10', cast(id * 911 as int))",
    "time": "timestamp_seconds(id * 86413 - 5000000000.000001)",
    "local": "cast(timestamp_seconds(id * 3607) as timestamp_ntz)",
}
DECIMALS = {
    "n9": "cast(id / 100 - 3 as decimal(9,2))",
    "n18": "cast(id * 12345678 / 10000 as decimal(18,4))",
    "n38": "cast(concat(if(id % 2 = 0, '-', ''), '12345678901234567', id, '.000000000000000001') as decimal(38,18))",
}
TEXTS = {
    "few": "element_at(array('', 'é', 'ein längerer Text', 'x'), cast(id % 4 + 1 as int))",
    "many": "repeat(concat('ü', id), cast(id % 9 as int))",
    "bytes": "cast(repeat('b', cast(id % 5 as int)) as binary)",
}
NESTED = {
    "texts": "transform(sequence(1, id % 4), n -> if(n = 2, null, concat('t', n, few)))",
    "struct": "named_struct('t', many, 'n', n18, 'in', named_struct('d', date, 'a', array(few, null)))",
    "structs": "transform(sequence(0, id % 3), n -> if(n = 1, null, named_struct('n', n, 't', few)))",
    "map": "map(concat('k', id), array(many, null), 'fixed', array())",
}
COLUMNS = NUMBERS | TIMES | DECIMALS | TEXTS

READERS = {
    "spark__sql__orc__enableNestedColumnVectorizedReader": "true",
    "spark__sql__parquet__columnarReaderBatchSize": 64,
    "spark__sql__orc__columnarReaderBatchSize": 48,
}


@arrow_udf(StringType())
def shown(*columns: pa.Array) -> pa.Array:
    """The types and all values, so that each is compared."""
    rows = zip(*(column.to_pylist() for column in columns))
    return pa.array([f"{[str(c.type) for c in columns]} {row}" for row in rows])


@arrow_udf(StringType())
def whole(rows: pa.Array) -> pa.Array:
    return pa.array([f"{rows.type} {row}" for row in rows.to_pylist()])


@pandas_udf(StringType())
def in_pandas(few: pd.Series, many: pd.Series, n: pd.Series) -> pd.Series:
    return few.str.upper() + many.fillna("-") + n.astype(str)


def data(spark):
    """150 rows; of each column, every fifth is null, at places of its own."""
    rows = spark.range(0, 150, 1, 1)
    full = rows.selectExpr("id", *(f"{made} as {name}" for name, made in COLUMNS.items()))
    full = full.selectExpr("*", *(f"{made} as {name}" for name, made in NESTED.items()))
    names = [*COLUMNS, *NESTED]
    return full.selectExpr("id", *(f"if((id + {at}) % 5 = 0, null, {name}) as {name}" for at, name in enumerate(names)))


def functions(frame):
    """What the functions see of a frame's columns, by groups of types, and of all at once."""
    groups = {"numbers": NUMBERS, "times": TIMES, "decimals": DECIMALS, "texts": TEXTS, "nested": NESTED}
    there = [name for name in frame.columns if name != "id"]
    frames = {group: frame.select("id", shown(*names)) for group, names in groups.items() if set(names) <= set(there)}
    frames |= {
        "struct": frame.select("id", whole(struct(*there))),
        "filtered": frame.filter("id % 7 > 2").select("id", shown(*there)),
        "map": frame.mapInArrow(lambda batches: batches, frame.schema),
    }
    if "many" in there:
        frames["pandas"] = frame.select("id", in_pandas("few", "many", "n9"))
    return {
        name: attempt(lambda found=found: [str(tuple(row)) for row in found.orderBy("id").collect()])
        for name, found in frames.items()
    }


def of_files(spark, kind, **more):
    with tempfile.TemporaryDirectory() as folder, settings(spark, **READERS, **more):
        path = os.path.join(folder, kind)
        data(spark).write.format(kind).save(path)
        return functions(spark.read.format(kind).load(path))


@case(since="4.1")
def of_parquet(spark):
    return of_files(spark, "parquet")


@case(since="4.1")
def of_parquet_off_heap(spark):
    return of_files(spark, "parquet", spark__sql__columnVector__offheap__enabled="true")


@case(since="4.1")
def of_parquet_without_dictionaries(spark):
    with tempfile.TemporaryDirectory() as folder, settings(spark, **READERS):
        data(spark).write.option("parquet.enable.dictionary", "false").parquet(f"{folder}/plain")
        return functions(spark.read.parquet(f"{folder}/plain"))


@case(since="4.1")
def of_orc(spark):
    return of_files(spark, "orc")


@case(since="4.1")
def of_orc_off_heap(spark):
    return of_files(spark, "orc", spark__sql__columnVector__offheap__enabled="true")


def of_cache(spark, frame):
    with settings(spark, spark__sql__inMemoryColumnarStorage__batchSize=40):
        frame.cache()
        try:
            return functions(frame)
        finally:
            frame.unpersist()


@case(since="4.1")
def of_a_cache_of_numbers(spark):
    """These alone make Spark's cache give columns."""
    return of_cache(spark, data(spark).select("id", *NUMBERS))


@case(since="4.1")
def of_a_cache_of_everything(spark):
    return of_cache(spark, data(spark))
