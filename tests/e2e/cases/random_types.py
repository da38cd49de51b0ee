"""Random data of the types that the other random comparisons leave out, through every node that passes Arrow batches.

Intervals of months, null types, char and varchar, times of day, variants, collated text, types of users' own, maps
whose keys are no text, and times at the ends of the calendar; also nested, with sizes of batches in rows and in bytes,
with and without adaptive plans and compiled code. Rows are made by SQL, which has literals of all of these. A case is
named by its seed, and an outcome's place says which of its `TABLES` it belongs to.

What shows where batches end has no null text: after one, Davy may cut a row earlier or later where bytes decide.
"""

import hashlib
import random
from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
from pyspark.sql import Window, functions
from pyspark.sql.functions import arrow_udf, pandas_udf, udf, udtf
from pyspark.sql.types import (
    ArrayType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
)
from pyspark.testing.objects import PythonOnlyPoint, PythonOnlyUDT

from cases.attempts import attempt
from cases.columnar_random import SIMPLE
from cases.every_node import settings
from cases.seeds import seeds
from harness.registry import case

SEEDS = seeds(range(400, 404))
TABLES = 3

_TEXT = ("''", "'a'", "'A'", "'é'", "'日本語'", "' pad '", "'Straße'")
_DAYS = ("0001-01-01", "9999-12-31", "1969-12-31", "1582-10-04", "1582-10-15", "2024-02-29")
_HOURS = ("00:00:00", "23:59:59.999999", "12:34:56.789", "00:00:00.000001")


def _of(*values):
    return lambda r: r.choice(values)


def _moment(word):
    return lambda r: f"{word}'{r.choice(_DAYS)} {r.choice(_HOURS)}'"


#: A type in SQL, and the maker of its literals.
ODD = (
    (
        "interval year to month",
        lambda r: f"interval '{r.choice(('', '-'))}{r.randrange(9999)}-{r.randrange(12)}' year to month",
    ),
    ("interval year to month", _of("interval '178956970-7' year to month", "interval '-178956970-8' year to month")),
    ("interval month", lambda r: f"interval '{r.randrange(-99, 99)}' month"),
    ("void", _of("null")),
    ("char(9)", _of(*_TEXT)),
    ("varchar(12)", _of(*_TEXT)),
    ("time(6)", lambda r: f"time'{r.choice(_HOURS)}'"),
    ("time(0)", lambda r: f"time'{r.randrange(24):02}:{r.randrange(60):02}:00'"),
    ("variant", lambda r: f"""parse_json('{r.choice(('{"a": [1, null]}', "1.5", '"é"', "null", "[]"))}')"""),
    ("string collate UTF8_LCASE", _of(*_TEXT)),
    ("string collate UNICODE_CI", _of(*_TEXT)),
    ("timestamp", _moment("timestamp")),
    ("timestamp_ntz", _moment("timestamp_ntz")),
    ("date", lambda r: f"date'{r.choice(_DAYS)}'"),
)
USUAL = (
    ("int", _of("0", "-2147483648", "7")),
    ("double", _of("double('NaN')", "-0.0d", "1.5d", "double('-Infinity')")),
    ("string", _of(*_TEXT)),
    ("binary", _of("X''", "X'00ff'", "X'61'")),
    ("decimal(38, 18)", _of("0bd", "-99999999999999999999.999999999999999999bd", "0.000000000000000001bd")),
    ("boolean", _of("true", "false")),
    ("interval day to second", _of("interval '1 02:03:04.000005' day to second", "interval '-9' day")),
)
#: Types that a map's keys may have here: three different keys of each.
KEYS = (
    ("int", ("1", "-1", "0")),
    ("bigint", ("1", "9223372036854775807", "0")),
    ("date", ("date'0001-01-01'", "date'9999-12-31'", "date'2024-02-29'")),
    (
        "timestamp",
        ("timestamp'0001-01-01 00:00:00'", "timestamp'2024-02-29 01:02:03'", "timestamp'1969-12-31 23:00:00'"),
    ),
    ("decimal(9, 2)", ("1.25bd", "-1bd", "0bd")),
    ("boolean", ("true", "false")),
    ("binary", ("X''", "X'00'", "X'ff'")),
    ("double", ("1.5d", "double('NaN')", "0.0d")),
    ("interval year to month", ("interval '1' year", "interval '2' month", "interval '0' month")),
    ("struct<x: int, y: string>", ("named_struct('x', 1, 'y', 'a')", "named_struct('x', null, 'y', 'a')")),
)


def _kind(r, depth):
    """A type in SQL and the maker of its values."""
    shape = r.random() if depth else 1.0
    if shape < 0.12:
        item, make = _kind(r, depth - 1)
        return f"array<{item}>", lambda r: f"array({', '.join(_value(r, item, make) for _ in range(r.randrange(3)))})"
    if shape < 0.27:
        key, keys = r.choice(KEYS)
        item, make = _kind(r, depth - 1)

        def entries(r):
            chosen = r.sample(keys, r.randrange(len(keys)))
            return f"map({', '.join(f'{k}, {_value(r, item, make)}' for k in chosen)})"

        return f"map<{key}, {item}>", entries
    if shape < 0.37:
        inner = [_kind(r, depth - 1) for _ in range(r.randrange(1, 3))]
        text = ", ".join(f"f{i}: {kind}" for i, (kind, _) in enumerate(inner))

        def fields(r):
            return f"named_struct({', '.join(f'{i!r}, {_value(r, *field)}' for i, field in _named(inner))})"

        return f"struct<{text}>", fields
    return r.choice(ODD if r.random() < 0.75 else USUAL)


def _named(fields):
    return [(f"f{i}", field) for i, field in enumerate(fields)]


def _value(r, kind, make):
    if kind == "void":
        return "null"
    return f"cast({'null' if r.random() < 0.2 else make(r)} as {kind})"


def _own_types(spark, r, count):
    """Rows with a user's type, which workers import, plain and nested, beside one of the other comparisons' types."""

    def point():
        return None if r.random() < 0.3 else PythonOnlyPoint(r.choice((0.0, -0.0, 1.5)), float(r.randrange(9)))

    simple, make = r.choice(SIMPLE)
    schema = StructType(
        [
            StructField("n", LongType()),
            StructField("k", StringType()),
            StructField("c0", PythonOnlyUDT()),
            StructField("c1", r.choice((ArrayType(PythonOnlyUDT()), MapType(LongType(), PythonOnlyUDT())))),
            StructField("c2", simple),
        ]
    )
    listed = isinstance(schema["c1"].dataType, ArrayType)
    rows = [
        (n, r.choice(("a", "b", None)), point(), [point()] if listed else {n: point()}, make(r)) for n in range(count)
    ]
    return spark.createDataFrame(rows, schema, verifySchema=False)


def _table(spark, r):
    count = r.choice((0, 1, 5, r.randrange(6, 24)))
    if r.random() < 0.15:
        return _own_types(spark, r, count)
    columns = [_kind(r, 2) for _ in range(r.randrange(1, 4))]
    named = ", ".join(f"c{i}" for i in range(len(columns)))
    rows = [
        [str(n), r.choice(("'a'", "'b'", "'é'", "cast(null as string)")), *(_value(r, *column) for column in columns)]
        for n in range(max(count, 1))
    ]
    text = ", ".join(f"({', '.join(row)})" for row in rows)
    frame = spark.sql(
        f"select cast(n as bigint) n, cast(k as string) k, {named} from values {text} as t(n, k, {named})"
    )
    frame = frame.filter(f"n < {count}")
    return frame.coalesce(1) if r.random() < 0.5 else frame.repartition(2, "n")


def _typed(function, kind):
    hint = pd.DataFrame if isinstance(kind, StructType) else pd.Series
    function.__annotations__ = {"v": hint, "return": hint}
    return function


def _scalars(r, frame, columns):
    def same(v):
        return v

    def shown(v: pd.Series) -> pd.Series:
        return pd.Series([repr(value) for value in v], dtype=object)

    def arrow_shown(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for v in batches:
            yield pa.array([f"{v.type} {value!r}" for value in v.to_pylist()], pa.string())

    def arrow_same(v: pa.Array) -> pa.Array:
        return v

    def batches_same(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        yield from batches

    for name, kind in columns:
        yield lambda kind=kind, name=name: frame.select(
            "n", pandas_udf(_typed(same, kind), kind)(name).alias("v"), name
        )
        yield lambda kind=kind, name=name: frame.select("n", arrow_udf(arrow_same, kind)(name).alias("v"), "k")
        yield lambda kind=kind, name=name: frame.select("*", udf(lambda v: v, kind, useArrow=True)(name).alias("v"))
        if not isinstance(kind, StructType):
            yield lambda name=name: frame.select("n", pandas_udf(shown, "string")(name).alias("v"))
            yield lambda kind=kind, name=name: frame.select("n", pandas_udf(batches_same, kind)(name).alias("v"))
        yield lambda name=name: frame.select("n", arrow_udf(arrow_shown, "string")(name).alias("v"))
        yield lambda name=name: frame.select("n", udf(repr, "string", useArrow=True)(name).alias("v"))


def _maps(r, frame):
    def same(batches):
        yield from batches

    yield lambda: frame.mapInPandas(same, frame.schema)
    yield lambda: frame.mapInArrow(same, frame.schema)


def _groups(r, frame, columns):
    def same(group):
        return group

    def batches(parts: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        yield from parts

    def arrow_batches(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from parts

    def left(ours, _theirs):
        return ours

    def both(key, ours, theirs):
        return pd.DataFrame({"t": [f"{key} {ours.values.tolist()} {theirs.values.tolist()}"]})

    def arrow_both(key, ours, theirs):
        return pa.table({"t": [f"{key} {ours.to_pylist()} {theirs.to_pylist()}"]})

    by = r.choice(("k", r.choice(columns)[0]))
    groups, ordered = frame.groupBy(by), frame.sortWithinPartitions("n").groupBy(by)
    yield lambda: ordered.applyInPandas(same, frame.schema)
    yield lambda: ordered.applyInArrow(same, frame.schema)
    yield lambda: ordered.applyInPandas(batches, frame.schema)
    yield lambda: ordered.applyInArrow(arrow_batches, frame.schema)
    others = frame.filter("n % 3 = 1").groupBy(by)
    yield lambda: groups.cogroup(others).applyInPandas(left, frame.schema)
    yield lambda: groups.cogroup(others).applyInArrow(left, frame.schema)
    # In one order: a group's rows come as they were shuffled.
    single = frame.coalesce(1)
    few = single.groupBy(by).cogroup(single.filter("n % 3 = 1").groupBy(by))
    yield lambda: few.applyInPandas(both, "t string")
    yield lambda: few.applyInArrow(arrow_both, "t string")


def _totals(r, frame, columns):
    def listed(v: pd.Series) -> str:
        return repr(sorted(map(repr, v.tolist())))

    def batches(parts: Iterator[pd.Series]) -> str:
        return repr(sorted(repr(value) for v in parts for value in v.tolist()))

    def arrow_listed(v: pa.Array) -> str:
        return f"{v.type} {sorted(map(repr, v.to_pylist()))}"

    def arrow_batches(parts: Iterator[pa.Array]) -> str:
        return repr(sorted(repr(value) for v in parts for value in v.to_pylist()))

    def pair(parts: Iterator[tuple[pa.Array, pa.Array]]) -> str:
        return repr(sorted(repr(value) for a, b in parts for value in zip(a.to_pylist(), b.to_pylist(), strict=True)))

    def greatest(v: pd.Series) -> int:
        return v.max()

    def first(v):
        return v[0]

    name, kind = r.choice(columns)
    groups = frame.groupBy(r.choice(("k", name)))
    if not isinstance(kind, StructType):
        yield lambda: groups.agg(pandas_udf(listed, "string")(name).alias("v"))
        yield lambda: groups.agg(pandas_udf(batches, "string")(name).alias("v"))
    yield lambda: groups.agg(arrow_udf(arrow_listed, "string")(name).alias("v"), arrow_udf(arrow_listed, "string")("n"))
    yield lambda: groups.agg(arrow_udf(arrow_batches, "string")(name).alias("v"))
    yield lambda: frame.agg(arrow_udf(pair, "string")(name, "k").alias("v"))
    aggregate = functions.ArrowUDFType.GROUPED_AGG
    by, near = Window.partitionBy("k").orderBy("n"), r.choice(((-1, 1), (-2, 0), (0, 3), (1, 2)))
    yield lambda: groups.agg(pandas_udf(greatest, "long")("n").alias("v"))
    yield lambda: frame.select("n", arrow_udf(first, kind, aggregate)(name).over(by.rowsBetween(0, 2)).alias("v"))
    yield lambda: frame.select("n", arrow_udf(arrow_listed, "string")(name).over(by.rowsBetween(*near)).alias("v"))
    if not isinstance(kind, StructType):
        yield lambda: frame.select("n", pandas_udf(listed, "string")(name).over(by.rowsBetween(*near)).alias("v"))
        yield lambda: frame.select("n", pandas_udf(listed, "string")(name).over(Window.partitionBy("k")).alias("v"))


def _table_functions(spark, frame, columns):
    names = ", ".join(f"x.{name}" for name, _ in columns)
    schema = StructType([StructField(name, kind) for name, kind in columns])

    class Same:
        def eval(self, *values):
            yield values

    class Shown:
        def eval(self, *values):
            yield (repr(values),)

    class Batches:
        def eval(self, batch):
            for row in batch.to_pylist():
                yield pa.table({"t": [repr(row)]})

    def register():
        frame.createOrReplaceTempView("rows_of_types")
        spark.udtf.register("same", udtf(Same, returnType=schema, useArrow=True))
        spark.udtf.register("shown", udtf(Shown, returnType="t string", useArrow=True))
        spark.udtf.register("batches", functions.arrow_udtf(Batches, returnType="t string"))

    def asked(text):
        register()
        return spark.sql(text)

    yield lambda: asked(f"select x.n, s.* from rows_of_types x, lateral same({names}) s")
    yield lambda: asked(f"select x.n, s.t from rows_of_types x, lateral shown({names}) s")
    yield lambda: asked("select * from batches(table(rows_of_types) partition by k order by n)")


def _sizes(frame):
    """Rows of each batch, of columns without null texts."""

    def sizes(batches):
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"t": pa.array([batch.num_rows], pa.int64())})

    rows = frame.sparkSession.range(0, 40, 1, 1).selectExpr("id", "cast(id as string) s", "array(id, id) a", "id % 7 b")
    yield lambda: rows.mapInArrow(sizes, "t long")
    yield lambda: rows.select(pandas_udf(lambda v: pd.Series([len(v)] * len(v)), "long", "scalar")("s").alias("v"))


def _attempt(make):
    """An error in full; of rows their number and a digest: random rows would fill the record."""
    rows = []

    def run():
        # As text: Python has no value for some of the types.
        rows.extend(sorted(row.t or "" for row in make().selectExpr("cast(struct(*) as string) as t").collect()))
        return rows

    text = attempt(run)
    return f"{len(rows)} rows {hashlib.sha256(text.encode()).hexdigest()[:16]}" if not text.startswith("{") else text


def _outcomes(spark, r, number):
    session = {
        "spark__sql__adaptive__enabled": str(number % 2 == 0).lower(),
        "spark__sql__codegen__wholeStage": str(number % 3 != 1).lower(),
        "spark__sql__execution__arrow__maxRecordsPerBatch": r.choice((1, 2, 3, 7, 10_000)),
        "spark__sql__execution__arrow__maxBytesPerBatch": r.choice((1, 48, 200, 1000, 1 << 20)),
        "spark__sql__preserveCharVarcharTypeInfo": str(r.random() < 0.5).lower(),
        "spark__sql__timeType__enabled": "true",
    }
    with settings(spark, **session):
        frame = _table(spark, r)
        columns = [(field.name, field.dataType) for field in frame.schema[2:]]
        chosen = [r.choice(columns)]
        yield [
            _attempt(make)
            for makes in (
                _scalars(r, frame, chosen),
                _maps(r, frame),
                _groups(r, frame, columns),
                _totals(r, frame, columns),
                _table_functions(spark, frame, columns),
                _sizes(frame),
            )
            for make in makes
        ]


def _case(seed):
    def run(spark):
        r = random.Random(seed)
        return [found for number in range(TABLES) for found in _outcomes(spark, r, seed + number)]

    case(since="4.3", seconds=300, name=f"seed_{seed}")(run)


for _seed in SEEDS:
    _case(_seed)
