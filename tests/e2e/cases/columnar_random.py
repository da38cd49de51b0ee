"""Random schemas, data and batch sizes through every node that passes Arrow batches.

Seven nodes a query: functions of pandas and Arrow with and without iterators, plain functions, and
both maps. A case is named by its seed, and an outcome's place says which of `queries(seed)` it belongs to.
"""

import datetime
import decimal
import hashlib
import random
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
from pyspark.sql import Row, functions
from pyspark.sql.functions import pandas_udf, udf
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DateType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from cases.attempts import attempt
from cases.seeds import seeds
from harness.registry import case

SEEDS = seeds(range(13))
QUERIES = 25
WORDS = ("", "a", "é", "日本語", "\U0001f600", " pad ", "x" * 40, "NULL", "0", "\n", "long enough to be stored apart")


def _integers(bits):
    edge = 1 << bits - 1
    return lambda r: r.choice((0, 1, -1, edge - 1, -edge, r.randrange(-edge, edge)))


def _time(r):
    return datetime.datetime(1700, 1, 1) + datetime.timedelta(
        days=r.randrange(180_000), seconds=r.randrange(86_400), microseconds=r.randrange(1_000_000)
    )


SIMPLE = (
    (BooleanType(), lambda r: r.random() < 0.5),
    (ByteType(), _integers(8)),
    (ShortType(), _integers(16)),
    (IntegerType(), _integers(32)),
    (LongType(), _integers(64)),
    (FloatType(), lambda r: r.choice((0.0, -0.0, float("nan"), float("inf"), 1.5, -2.25, 2.0**-140))),
    (DoubleType(), lambda r: r.choice((0.0, -0.0, float("nan"), float("-inf"), r.uniform(-1e9, 1e9), 5e-324))),
    (StringType(), lambda r: r.choice(WORDS)),
    (BinaryType(), lambda r: bytearray(r.randbytes(r.randrange(5)))),
    (DateType(), lambda r: datetime.date.fromordinal(r.choice((1, 719163, 3652059, r.randrange(600_000, 800_000))))),
    (TimestampType(), _time),
    (TimestampNTZType(), _time),
    (
        DayTimeIntervalType(),
        lambda r: datetime.timedelta(r.randrange(-9999, 9999), r.randrange(86_400), r.randrange(9)),
    ),
    (DecimalType(38, 18), lambda r: decimal.Decimal(r.randrange(-(10**38) + 1, 10**38)).scaleb(-18, _WIDE)),
    (DecimalType(9, 2), lambda r: decimal.Decimal(r.randrange(-999_999_999, 999_999_999)).scaleb(-2)),
)
_WIDE = decimal.Context(prec=40)


def _kind(r, depth):
    """A type and the maker of its values."""
    shape = r.random() if depth else 1.0
    if shape < 0.12:
        item, make = _kind(r, depth - 1)
        return ArrayType(item), lambda r: [_value(r, make) for _ in range(r.randrange(4))]
    if shape < 0.2:
        item, make = _kind(r, depth - 1)
        return MapType(StringType(), item), lambda r: {w: _value(r, make) for w in r.sample(WORDS, r.randrange(3))}
    if shape < 0.32:
        inner = [_kind(r, depth - 1) for _ in range(r.randrange(1, 4))]
        fields = StructType([StructField(f"f{i}", kind) for i, (kind, _) in enumerate(inner)])
        return fields, lambda r: Row(*[_value(r, make) for _, make in inner])
    return r.choice(SIMPLE)


def _value(r, make):
    return None if r.random() < 0.2 else make(r)


def queries(seed):
    """(schema, rows, batch size) of each query."""
    r = random.Random(seed)
    for _ in range(QUERIES):
        columns = [_kind(r, 3) for _ in range(r.randrange(1, 5))]
        schema = StructType([StructField(f"c{i}", kind) for i, (kind, _) in enumerate(columns)])
        count = r.choice((0, 1, 2, r.randrange(3, 40)))
        rows = [tuple(_value(r, make) for _, make in columns) for _ in range(count)]
        yield schema, rows, r.choice((1, 2, 3, 7, 10_000))


def _functions(schema):
    """Every kind of function that gives its argument back, each on a column."""
    kinds = [field.dataType for field in schema]

    def of(n):
        return f"c{n % len(kinds)}", kinds[n % len(kinds)]

    def in_pandas(v):
        return v

    def in_pandas_frames(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        yield from batches

    def in_arrow(v: pa.Array) -> pa.Array:
        return v

    def in_arrow_batches(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        yield from batches

    def plain(v):
        return v

    def typed(function, kind):
        hint = pd.DataFrame if isinstance(kind, StructType) else pd.Series
        function.__annotations__ = {"v": hint, "return": hint}
        return function

    name, kind = of(0)
    yield pandas_udf(typed(in_pandas, kind), kind)(name)
    name, kind = of(1)
    if not isinstance(kind, StructType):
        yield pandas_udf(in_pandas_frames, kind)(name)
    name, kind = of(2)
    yield functions.arrow_udf(in_arrow, kind)(name)
    yield functions.arrow_udf(in_arrow_batches, kind)(name)
    name, kind = of(3)
    yield udf(plain, kind, useArrow=True)(name)


def _frames(batches):
    yield from batches


def _attempt(frame):
    """An error in full; of rows their number and a digest: random rows would fill the record."""
    rows = []
    text = attempt(lambda: rows.append(frame.collect()) or rows[0])
    return f"{len(rows[0])} rows {hashlib.sha256(text.encode()).hexdigest()[:16]}" if rows else text


def _outcomes(spark, schema, rows, size):
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", size)
    frame = spark.createDataFrame(rows, schema, verifySchema=False).coalesce(1)
    calls = list(_functions(schema))
    whole = _attempt(frame.select("*", *calls))
    yield whole
    if whole.startswith("{"):
        # One of them refuses: what do the others do?
        for call in calls:
            yield _attempt(frame.select(call))
    sizes = functions.pandas_udf(lambda v: pd.Series([len(v)] * len(v)), "int", functions.PandasUDFType.SCALAR)
    yield _attempt(frame.select(sizes("c0")))
    yield _attempt(frame.mapInArrow(_frames, schema))
    yield _attempt(frame.mapInPandas(_frames, schema))


def _of(seed):
    def run(spark):
        try:
            return [list(_outcomes(spark, *query)) for query in queries(seed)]
        finally:
            spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")

    case(since="4.1", seconds=300, name=f"seed_{seed}")(run)


for seed in SEEDS:
    _of(seed)
