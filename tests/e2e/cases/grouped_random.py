"""Random schemas and data through every node of groups: both maps, both cogroups, both aggregates.

The schemas and rows are those of `columnar_random`, with keys of few values, null among them. A case is
named by its seed, and an outcome's place says which of `QUERIES` it belongs to.
"""

import random

import pandas as pd
import pyarrow as pa
from pyspark.sql import functions
from pyspark.sql.functions import pandas_udf
from pyspark.sql.types import LongType, StringType, StructField, StructType

from cases.attempts import attempt
from cases.columnar_random import queries
from cases.seeds import seeds
from harness.registry import case

SEEDS = seeds(range(100, 106))
KEYS = ("a", "b", None, "", "é")


def same(group):
    return group


def left(ours, _theirs):
    return ours


def lengths(key, ours, theirs):
    return pd.DataFrame({"k": [str(key)], "ours": [len(ours)], "theirs": [len(theirs)]})


def arrow_lengths(key, ours, theirs):
    rows = {"k": [str(key[0].as_py())], "ours": [ours.num_rows], "theirs": [theirs.num_rows]}
    return pa.table(rows, schema=pa.schema([("k", pa.string()), ("ours", pa.int64()), ("theirs", pa.int64())]))


@pandas_udf(StringType())
def counted(v: pd.Series) -> str:
    return f"{len(v)} {v.isna().sum()}"


@pandas_udf(StringType())
def counted_pair(a: pd.Series, b: pd.Series) -> str:
    return f"{len(a)} {b.isna().sum()}"


def arrow_counted(v: pa.Array) -> str:
    return f"{len(v)} {v.null_count}"


def _attempt(frame):
    """Rows in any order: groups come as they are hashed."""
    return attempt(lambda: sorted(repr(row) for row in frame.collect()))


def _outcomes(spark, r, schema, rows, size):
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", size)
    schema = StructType([StructField("k", StringType()), *schema])
    keyed = [(r.choice(KEYS), *row) for row in rows]
    frame = spark.createDataFrame(keyed, schema, verifySchema=False)
    some = spark.createDataFrame(keyed[: len(keyed) // 2], schema, verifySchema=False)
    groups = frame.groupBy("k")
    both = groups.cogroup(some.groupBy("k"))
    numbers = "k string, ours long, theirs long"
    arrow_aggregate = functions.arrow_udf(arrow_counted, StringType())
    columns = {n: functions.col(f"c{n % (len(schema) - 1)}") for n in range(3)}
    yield _attempt(groups.applyInPandas(same, schema))
    yield _attempt(groups.applyInArrow(same, schema))
    yield _attempt(both.applyInPandas(left, schema))
    yield _attempt(both.applyInArrow(left, schema))
    yield _attempt(both.applyInPandas(lengths, numbers))
    yield _attempt(both.applyInArrow(arrow_lengths, numbers))
    yield _attempt(groups.agg(counted(columns[0]), counted_pair(b=columns[1], a=columns[2])))
    yield _attempt(groups.agg(arrow_aggregate(columns[0]), arrow_aggregate(functions.length("k"))))
    yield _attempt(frame.agg(counted(columns[1])))
    yield _attempt(frame.groupBy(functions.length("k").cast(LongType())).agg(counted(columns[2])))


def _of(seed):
    def run(spark):
        r = random.Random(seed)
        try:
            return [list(_outcomes(spark, r, *query)) for query in list(queries(seed))[:8]]
        finally:
            spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")

    case("no_aqe", since="4.1", seconds=300, name=f"seed_{seed}")(run)


for _seed in SEEDS:
    _of(_seed)
