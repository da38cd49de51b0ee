"""Functions that keep the byte channel, over functions whose results Davy has as columns: these are read in time."""

import pandas as pd
import pyarrow as pa
from pyspark.sql.functions import arrow_udf, col, pandas_udf, udf
from pyspark.sql.types import LongType

from cases.attempts import attempts
from harness.registry import case


@pandas_udf(LongType())
def plus_one(v: pd.Series) -> pd.Series:
    return v + 1


@udf(LongType(), useArrow=True)
def seven():
    return 7


@arrow_udf(LongType())
def same(v: pa.Array) -> pa.Array:
    return v


def identity(batches):
    yield from batches


def _sums(frame):
    """Each column tells if a row was read after its batch was gone."""
    rows = frame.selectExpr("id", "p", "s", "n").collect()
    sums = [sum(row[name] for row in rows) for name in ("id", "p", "n")]
    return len(rows), sums, sum(row.s == f"é{row.id}" and row.p == row.id + 1 for row in rows)


@case("default", "small_batches", since="4.2", seconds=180)
def over_columns(spark):
    def frame(count=20_000, parts=2):
        return spark.range(0, count, 1, parts).selectExpr("id", "concat('é', id) as s").repartition(parts)

    scalar = frame().select("id", "s", plus_one("id").alias("p"))
    mapped = frame().selectExpr("id", "s", "id + 1 as p").mapInArrow(identity, "id long, s string, p long")
    both = scalar.unionByName(mapped)
    above = {
        "scalar": scalar,
        "map": mapped,
        "union": both,
        "twice": scalar.select("id", "s", plus_one(col("p") - 1).alias("p")),
        "filtered": scalar.filter("p % 3 = 0"),
        "arrow": frame().select("id", "s", same(col("id") + 1).alias("p")),
    }
    return attempts({name: lambda f=f: _sums(f.select("*", seven().alias("n"))) for name, f in above.items()})
