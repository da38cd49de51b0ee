"""Random schemas, data, frames and batch sizes through the node of window functions, in pandas and Arrow.

The schemas and rows are those of `columnar_random`, with keys of few values, null among them. A case is
named by its seed, and an outcome's place says which of `queries(seed)` it belongs to.
"""

import random

import pandas as pd
import pyarrow as pa
from pyspark.sql import Window, functions
from pyspark.sql.functions import pandas_udf
from pyspark.sql.types import LongType, StringType, StructField, StructType

from cases.attempts import attempt
from cases.columnar_random import queries
from cases.grouped_random import KEYS, counted, counted_pair
from cases.seeds import seeds
from harness.registry import case

SEEDS = seeds(range(200, 205))


def ends(v: pa.Array) -> str:
    return f"{len(v)} {v.null_count} {v[0] if len(v) else None} {v[-1] if len(v) else None}"


@pandas_udf(StringType())
def summed_pair(a: pd.Series, b: pd.Series) -> str:
    return f"{a.sum()} {len(b)} {b.index.tolist()[:1]}"


FIRST, LAST = Window.unboundedPreceding, Window.unboundedFollowing
BOUNDS = ((FIRST, LAST), (FIRST, 0), (0, LAST), (FIRST, -2), (-3, -1), (-1, 2), (0, 0), (2, 4), (1, LAST))


def _frame(r):
    rows = Window.partitionBy(*r.choice((("k",), (), ("k", "even")))).orderBy("n")
    first, last = r.choice(BOUNDS)
    return rows.rangeBetween(first, last) if r.random() < 0.3 else rows.rowsBetween(first, last)


def _outcomes(spark, r, schema, rows, size):
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", size)
    schema = StructType([StructField("k", StringType()), StructField("n", LongType()), *schema])
    keyed = [(r.choice(KEYS), 2 * n, *row) for n, row in enumerate(rows)]
    frame = spark.createDataFrame(keyed, schema, verifySchema=False).withColumn("even", functions.col("n") % 4)
    arrow_ends = functions.arrow_udf(ends, StringType())
    columns = [functions.col(f"c{n % (len(schema) - 2)}") for n in range(3)]
    whole = Window.partitionBy("k")
    pandas_calls = [
        counted(columns[0]).over(_frame(r)),
        counted_pair(b=columns[1], a=columns[2]).over(_frame(r)),
        summed_pair("n", columns[2]).over(_frame(r)),
        counted(columns[1]).over(whole),
    ]
    arrow_calls = [arrow_ends(columns[0]).over(_frame(r)), arrow_ends(columns[1]).over(_frame(r))]
    for calls in (pandas_calls, arrow_calls, [arrow_ends(columns[2]).over(whole)]):
        named = [call.alias(f"v{i}") for i, call in enumerate(calls)]
        yield attempt(lambda named=named: [repr(row) for row in frame.select("n", *named).orderBy("n").collect()])


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
