"""Every Spark type through a plain UDF whose values travel as Arrow, in and out."""

import datetime

from pyspark.sql import Row
from pyspark.sql import functions as F
from pyspark.sql.functions import col, expr, lit, pandas_udf, udf

from cases.attempts import attempt
from cases.files import Folder
from cases.types_udf import POINT_TYPES, VALUES
from harness.registry import case

KINDS = VALUES | {
    # Text is longer than a page in types_udf; here that it arrives is enough.
    "string": ["", "a", "é東\U0001f600", "a\x00b", "  pad ", "\n\t\r", "x" * 5_000, "e\u0301", None],
    "timestamp": [
        datetime.datetime(1970, 1, 1),
        datetime.datetime(2024, 2, 29, 23, 59, 59, 999999),
        datetime.datetime(1900, 1, 1, 12),
        datetime.datetime(2024, 6, 1, 12, tzinfo=datetime.timezone.utc),
        None,
    ],
    "timestamp_ntz": [datetime.datetime(1970, 1, 1), datetime.datetime(2024, 2, 29, 1, 2, 3, 4), None],
    "map<string,struct<a:int,b:array<string>>>": [{"k": Row(a=1, b=["x", None]), "n": None}, {}, None],
    "array<binary>": [[bytearray(b"\x00\xff"), None], [], None],
    "array<decimal(38,18)>": [VALUES["decimal(38,18)"], None],
    "array<timestamp>": [[datetime.datetime(2024, 6, 1, 12), None], None],
    "map<date,interval day to second>": [{datetime.date(2024, 2, 29): datetime.timedelta(1, 2, 3)}, None],
}
EXTREMES = {
    "timestamp": [datetime.datetime(2262, 4, 12), datetime.datetime(1677, 9, 21), datetime.datetime(9999, 12, 30)],
    "timestamp_ntz": [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)],
    "interval day to second": [datetime.timedelta(-106751991, 71945, 224192), datetime.timedelta(200_000)],
}


def _frame(spark, kind, values):
    column = "string" if "char" in kind else kind
    rows = [(i, v) for i, v in enumerate(values)]
    return spark.createDataFrame(rows, f"i int, v {column}", verifySchema=False).coalesce(1)


def _same_and_seen(frame, kind):
    @udf("string" if kind == "void" else kind, useArrow=True)
    def same(v):
        return v

    @udf("string", useArrow=True)
    def seen(v):
        return f"{type(v).__name__} {v!r}"[:300]

    text = "cast(w as string)" if kind != "binary" else "hex(w)"
    chosen = frame.select("i", same("v").alias("w"), seen("v").alias("seen"))
    return chosen.select("i", "w", "seen", expr(text).alias("t")).orderBy("i").collect()


def _through(kind, values):
    def run(spark):
        return _same_and_seen(_frame(spark, kind, values), kind)

    run.__module__ = __name__
    return run


for _kind, _values in KINDS.items():
    case("default", name=f"through_{_kind}", cluster=_kind in ("string", "timestamp"))(_through(_kind, _values))
for _kind in ("timestamp", "decimal(38,18)", "array<int>", "struct<a:int,b:string>", "string"):
    case("legacy_arrow", since="4.1", name=f"legacy_{_kind}")(_through(_kind, KINDS[_kind]))
case("berlin", name="berlin_timestamp")(_through("timestamp", KINDS["timestamp"]))
case("berlin", name="berlin_timestamp_ntz")(_through("timestamp_ntz", KINDS["timestamp_ntz"]))


@case()
def extremes(spark):
    """Each value alone: what does not fit into 64 bits of nanoseconds may be an error."""
    return {
        f"{kind} {value}": attempt(lambda: _same_and_seen(_frame(spark, kind, [value]), kind))
        for kind, values in EXTREMES.items()
        for value in values
    }


@case()
def user_defined_type(spark):
    with Folder() as folder:
        spark.sparkContext.addPyFile(folder.write("point_types.py", POINT_TYPES))
        from point_types import Point, PointUDT

        frame = spark.createDataFrame([(Point(1.0, 2.0),), (Point(-3.5, float("inf")),)], ["p"])
        flip = udf(lambda p: Point(p.y, p.x), PointUDT(), useArrow=True)
        norm = udf(lambda p: abs(p.x) + abs(p.y), "double", useArrow=True)
        return [attempt(lambda: frame.select(flip("p").alias("q")).collect()), frame.select(norm("p")).collect()]


@case()
def variant(spark):
    frame = spark.sql("""select parse_json('{"a": [1, "é", null], "b": 2.5}') as v""")
    text = udf(lambda v: None if v is None else f"{v.toPython()}", "string", useArrow=True)
    same = udf(lambda v: v, "variant", useArrow=True)
    return [
        attempt(lambda: frame.select(text("v")).collect()),
        attempt(lambda: frame.select(same("v").cast("string")).collect()),
    ]


@case()
def intervals_of_months(spark):
    same = udf(lambda v: v, "interval year to month", useArrow=True)
    return spark.sql("select interval '1-2' year to month as v").select(same("v")).collect()


@case(since="4.1")
def time_type(spark):
    same = udf(lambda v: v, "time(6)", useArrow=True)
    return spark.sql("select time'12:34:56.789' as v").select(same("v")).collect()


@case()
def nulls_in_every_column(spark):
    schema = ", ".join(f"c{i} {k}" for i, k in enumerate(["boolean", "int", "double", "string", "date", "array<int>"]))
    frame = spark.createDataFrame([(None,) * 6, (True, 1, 1.0, "s", datetime.date(2020, 1, 1), [1])], schema)
    seen = udf(lambda *vs: repr(vs), "string", useArrow=True)
    return frame.select(seen(*[f"c{i}" for i in range(6)])).collect()


@case()
def row_inside(spark):
    frame = spark.createDataFrame([(1, "a"), (2, None)], "x int, `y é` string")

    @udf("string", useArrow=True)
    def look(row):
        return f"{type(row).__name__} {row.asDict()} {row['y é']} {row[0]} {row.__fields__}"

    return frame.select(look(expr("struct(*)")), look(expr("named_struct('x', 1, 'y é', 'z')"))).collect()


# 4.0 fails with the addresses of its buffers.
@case(since="4.1")
def struct_with_a_name_twice(spark):
    same = udf(lambda r: r, "a int, a int", useArrow=True)
    return spark.range(1).select(same(expr("named_struct('a', 1, 'a', 2)"))).collect()


@case("default", "small_batches")
def defaults_and_keywords(spark):
    @udf("string", useArrow=True)
    def show(a, *rest, b=5, **more):
        return f"{a} {rest} {b} {sorted(more.items())}"

    frame = spark.range(0, 8, 1, 2).withColumn("s", F.concat(lit("é"), col("id")))
    return [
        frame.select(show("id")).collect(),
        frame.select(show("id", "s", b="id", z="s")).collect(),
        frame.select(show(a=lit(None), b=lit("x"))).collect(),
    ]


@case("default", "small_batches")
def no_arguments_and_literals(spark):
    constant = udf(lambda: "ç", "string", useArrow=True)
    seen = udf(lambda *vs: repr(vs), "string", useArrow=True)
    return spark.range(0, 7, 1, 1).select(constant(), seen(lit(None), lit(1.5), col("id"))).collect()


@case("default", "small_batches")
def empty_partitions(spark):
    inc = udf(lambda x: x + 1, "long", useArrow=True)
    frame = spark.range(0, 4, 1, 6)
    return [
        frame.select(inc("id")).collect(),
        frame.where("id > 9").select(inc("id")).collect(),
        frame.where("id = 3").select(inc("id")).collect(),
        spark.createDataFrame([], "id long").select(inc("id")).collect(),
    ]


@case("default", "small_batches")
def batch_boundaries(spark):
    double = udf(lambda x: None if x % 4 == 3 else 2 * x, "long", useArrow=True)
    return [
        spark.range(0, n, 1, 1).select(F.collect_list(double("id")), F.count("*")).collect() for n in (1, 2, 3, 4, 6, 7)
    ]


@case("default", "small_batches", "no_reuse")
def state_across_batches(spark):
    seen = []

    @udf("int", useArrow=True)
    def count(x):
        seen.append(x)
        return len(seen)

    return spark.range(0, 10, 1, 1).select(count("id")).collect()


@case("default", "small_batches")
def chains_of_all_kinds(spark):
    arrow = udf(lambda x: x + 1, "long", useArrow=True)
    pickled = udf(lambda x: x * 2, "long", useArrow=False)

    @pandas_udf("long")
    def pandas(s):
        return s - 3

    frame = spark.range(0, 8, 1, 2)
    return [
        frame.select(arrow(arrow("id")), arrow(pickled("id")), pickled(arrow("id"))).collect(),
        frame.select(pandas(arrow("id")), arrow(pandas("id")), pickled(pandas(arrow(pickled("id"))))).collect(),
        frame.select(arrow("id"), pickled("id"), pandas("id"), arrow(col("id") + pandas("id"))).collect(),
        frame.where(arrow("id") % 2 == 0).groupBy(pickled("id").alias("k")).agg(F.sum(pandas("id"))).orderBy("k")
        .collect(),
    ]  # fmt: skip


@case("default", "small_batches")
def mixed_result_types(spark):
    fs = {
        "int": lambda x: x, "string": str, "double": lambda x: x / 3, "boolean": lambda x: x % 2 == 0,
        "array<long>": lambda x: [x] * (x % 3), "map<string,long>": lambda x: {str(x): x},
        "a long, b string": lambda x: (x, None), "binary": lambda x: bytes([x]),
    }  # fmt: skip
    columns = [udf(f, kind, useArrow=True)("id").alias(f"c{i}") for i, (kind, f) in enumerate(fs.items())]
    return spark.range(0, 7, 1, 1).select(*columns).collect()


@case()
def error_in_the_second_batch(spark):
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "2")
    try:
        return spark.range(0, 6, 1, 1).select(udf(lambda x: 6 // (x - 4), "long", useArrow=True)("id")).collect()
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


@case()
def wide_rows(spark):
    frame = spark.range(50).select(*[(col("id") * i).alias(f"c{i}") for i in range(120)])
    total = udf(lambda *vs: sum(vs), "long", useArrow=True)
    return [r[0] for r in frame.select(total(*frame.columns)).collect()]


@case(cluster=True)
def a_hundred_thousand_rows(spark):
    f = udf(lambda x: x * 2 + 1, "long", useArrow=True)
    return spark.range(0, 100_000, 1, 4).select(F.sum(f("id")), F.max(f("id"))).collect()


@case()
def limit_stops_early(spark):
    f = udf(lambda x: x + 1, "long", useArrow=True)
    frame = spark.range(0, 1_000_000, 1, 4).select(f("id").alias("v"))
    return [frame.limit(3).collect(), frame.first(), frame.where("v = 5").limit(1).collect()]


@case()
def by_the_session_setting(spark):
    """Without `useArrow` the setting decides; which of the two ran shows in the plan."""
    spark.conf.set("spark.sql.execution.pythonUDF.arrow.enabled", "true")
    try:
        frame = spark.range(3).select(udf(lambda x: x + 1, "long")("id").alias("v"))
        plan = frame._jdf.queryExecution().executedPlan().toString()
        return ["ArrowEvalPython" in plan, frame.collect()]
    finally:
        spark.conf.set("spark.sql.execution.pythonUDF.arrow.enabled", "false")


@case()
def limited_by_bytes(spark):
    """`maxBytesPerBatch` (4.1; ignored before), on both sides of a join."""
    spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", "200")
    try:
        text = udf(lambda x: "é" * (x * 10), "string", useArrow=True)
        frame = spark.range(0, 12, 1, 2).withColumn("t", text("id"))
        other = spark.range(0, 12, 3).withColumn("n", udf(lambda x: x * 10, "long", useArrow=True)("id"))
        return frame.join(other, F.length("t") == other.n).select(frame.id, F.length("t"), "n").orderBy("n").collect()
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxBytesPerBatch")
