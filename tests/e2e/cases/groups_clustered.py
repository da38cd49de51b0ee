"""Rows of groups come together without a sort, in the order in which Spark's sort brings them."""

import zlib
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
from pyspark.sql.functions import col, pandas_udf
from pyspark.sql.types import LongType, StringType

from harness.registry import case

KEYS = {
    "int": "cast(id * 7 % 5 as int)",
    "int with nulls": "if(id % 4 = 1, null, cast(id * 7 % 5 as int))",
    "long": "(id * 1000000007) % 6 - 3",
    "long of nulls first": "if(id < 90 or id % 11 = 0, null, id % 3)",
    "byte": "cast(id % 3 - 1 as byte)",
    "short with nulls": "if(id % 4 = 1, null, cast(id % 3 - 1 as short))",
    "boolean": "if(id % 7 = 0, null, id % 2 = 0)",
    "string": "if(id % 6 = 0, null, if(id % 6 = 1, '', repeat('ä', cast(id % 6 as int))))",
    "collated": "collate(if(id % 2 = 0, 'a', 'A'), 'UTF8_LCASE')",
    "binary": "if(id % 6 = 0, null, cast(cast(id % 4 as string) as binary))",
    "date": "if(id % 6 = 0, null, date_add(date'1970-01-02', -cast(id % 4 as int)))",
    "timestamp": "if(id % 6 = 0, null, timestamp_micros(id % 4 - 2))",
    "float": "cast(if(id % 3 = 0, 'NaN', if(id % 3 = 1, '-0', '0')) as float)",
    "decimal": "cast(id % 3 as decimal(30, 2))",
    "interval": "make_dt_interval(cast(id % 3 as int))",
    "struct": "named_struct('x', id % 3)",
    "each its own": "id * 37 % 400",
}
VALUES = (
    "id",
    "if(id % 3 = 0, null, cast(id as int)) as i",
    "if(id % 5 = 0, null, id % 2 = 0) as even",
    "cast(id as short) as sh",
    "cast(id % 100 as byte) as b",
    "cast(id as float) / 3 as f",
    "if(id % 5 = 0, null, repeat(cast(id as string), cast(id % 4 as int))) as s",
    "cast(cast(id as string) as binary) as bin",
    "if(id % 9 = 0, null, cast(id as decimal(20, 3))) as d",
    "date_add(date'2020-01-01', cast(id as int)) as day",
)
SETTINGS = (
    {},
    {"spark.sql.execution.arrow.maxRecordsPerBatch": "7"},
    {"spark.sql.execution.arrow.maxBytesPerBatch": "600"},
    {"spark.sql.codegen.wholeStage": "false"},
    {"spark.sql.sort.enableRadixSort": "false"},
    {"spark.sql.execution.arrow.useLargeVarTypes": "true"},
    {"spark.sql.shuffle.partitions": "1"},
)


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"t": [frame.astype(str).agg("|".join, axis=1).str.cat(sep=";")]})


def sizes(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    found = [(batch.num_rows, str(batch.column("id").to_pylist())) for batch in batches]
    yield pa.RecordBatch.from_pydict({"t": [zlib.crc32(str(found).encode())]})


@pandas_udf(StringType())
def listed(a: pd.Series, b: pd.Series) -> str:
    return ",".join(map(str, a)) + "|" + ",".join(map(str, b))


@pandas_udf(StringType())
def of_any(values: pd.Series) -> str:
    return str(list(values))


@pandas_udf(LongType())
def total(values: pd.Series) -> int:
    return values.sum()


def _rows(spark, keys):
    return spark.range(0, 400, 1, 3).selectExpr(*(f"{key} as k{n}" for n, key in enumerate(keys)), *VALUES)


def _found(rows, keys):
    """Groups in the order of the one partition, or sorted by what they hold."""
    names = [f"k{n}" for n in range(len(keys))]
    for frame in (
        rows.groupBy(*names).applyInPandas(in_order, "t string"),
        rows.groupBy(*names).applyInArrow(sizes, "t long"),
        rows.groupBy(*names).agg(listed("id", col("i") + 1).alias("t")).select("t"),
    ):
        lines = [str(row.t) for row in frame.collect()]
        yield len(lines), zlib.crc32("\n".join(sorted(lines)).encode()), zlib.crc32("\n".join(lines).encode())


@case("no_aqe", since="4.3")
def rows_of_each_key_in_stocks_order(spark):
    """All keys with Spark's own settings, a third of them with each other one."""
    chosen = [[key] for key in KEYS.values()]
    chosen.append([KEYS["string"], KEYS["int with nulls"]])
    chosen.append([KEYS["boolean"], KEYS["decimal"], KEYS["long"]])
    said = []
    for number, setting in enumerate(SETTINGS):
        before = {name: spark.conf.get(name, None) for name in setting}
        for name, value in setting.items():
            spark.conf.set(name, value)
        for keys in chosen[number % 3 :: 3] if setting else chosen:
            rows = _rows(spark, keys)
            if "spark.sql.execution.arrow.maxBytesPerBatch" in setting:
                # Where stock's batches end after a null text depends on the batch before.
                rows = rows.na.fill("", ["s"])
            said.append((*setting.items(), *keys, *_found(rows, keys)))
        for name, value in before.items():
            spark.conf.unset(name) if value is None else spark.conf.set(name, value)
    return said


@case("no_aqe", since="4.3")
def no_rows_and_one_row(spark):
    rows = _rows(spark, [KEYS["int"]])
    none, one = rows.filter("id < 0"), rows.filter("id = 5")
    return [(*_found(frame, ["k0"]),) for frame in (none, one)]


@case("no_aqe", since="4.3")
def the_order_of_few_rows(spark):
    rows = spark.range(0, 12, 1, 1).selectExpr("if(id in (2, 5, 6, 11), null, id % 2) as k", "id")
    return [row.t for row in rows.groupBy("k").agg(listed("id", "id").alias("t")).select("t").collect()]


@case("no_aqe", since="4.3")
def one_key_twice_and_a_computed_argument(spark):
    rows = _rows(spark, [KEYS["long"]])
    frame = rows.groupBy("k0", col("k0").alias("again")).agg(
        listed("k0", col("id") * 2).alias("t"), listed("s", "id").alias("u")
    )
    return [str(row) for row in frame.collect()]


OTHER_COLUMNS = (
    "null as none",
    "parse_json(concat('[', id, ']')) as v",
    "make_ym_interval(1, cast(id as int)) as months",
    "make_interval(0, cast(id as int)) as mixed",
    "cast(id as char(5)) as padded",
    "timestamp_ntz'2020-01-01 00:00:00' as ntz",
    "array(id, null) as list",
    "map('a', id) as pairs",
    "named_struct('x', id) as inner",
)


@case("no_aqe", since="4.3")
def columns_of_other_types(spark):
    said = []
    for column in OTHER_COLUMNS:
        name = column.split()[-1]
        rows = spark.range(0, 40, 1, 2).selectExpr("id % 3 as k", "id", column)
        by = rows.groupBy("k")
        for kind in ("arrow", "pandas", "aggregate"):
            try:
                if kind == "arrow":
                    frame = by.applyInArrow(
                        lambda t: pa.table({"t": [str(t.column(t.num_columns - 1).to_pylist())]}), "t string"
                    )
                elif kind == "pandas":
                    frame = by.applyInPandas(lambda g: pd.DataFrame({"t": [str(list(g.iloc[:, -1]))]}), "t string")
                else:
                    frame = by.agg(of_any(name).alias("t")).select("t")
                said.append((name, kind, sorted(row.t for row in frame.collect())))
            except Exception as e:
                said.append((name, kind, type(e).__name__, str(e).splitlines()[0]))
    return said


@case("little_memory", since="4.3")
def more_rows_than_memory(spark):
    rows = spark.range(0, 600_000, 1, 2).selectExpr("id * 7919 % 13 as k", "id", "cast(id % 1000 as string) as s")

    def summed(group: pd.DataFrame) -> pd.DataFrame:
        # Several sorted parts are merged in no certain order.
        return pd.DataFrame({"n": [len(group)], "id": [group.id.sum()], "s": [group.s.astype(int).sum()]})

    by = rows.groupBy("k")
    return [
        [tuple(row) for row in frame.collect()]
        for frame in (by.applyInPandas(summed, "n long, id long, s long"), by.agg(total("id").alias("t")))
    ]


@case("no_aqe", "encrypted", since="4.3")
def rows_longer_than_a_block(spark):
    rows = spark.range(0, 60, 1, 3).selectExpr("id % 4 as k", "repeat(cast(id as string), cast(id * 1500 as int)) as s")

    def hashed(group: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"t": [" ".join(str(zlib.crc32(s.encode())) for s in group.s)]})

    return sorted(row.t for row in rows.groupBy("k").applyInPandas(hashed, "t string").collect())
