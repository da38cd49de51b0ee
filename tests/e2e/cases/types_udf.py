"""Every Spark type through a pickled UDF, in and out."""

import datetime
import decimal

from pyspark.sql import Row
from pyspark.sql.functions import col, expr, lit, udf

from cases.files import Folder
from harness.registry import case

D = decimal.Decimal
BIG = "9" * 38
UTC = datetime.timezone.utc

VALUES = {
    "boolean": [True, False, None],
    "byte": [0, 127, -128, None],
    "short": [0, 32767, -32768, None],
    "int": [0, 2**31 - 1, -(2**31), None],
    "long": [0, 2**63 - 1, -(2**63), 2**53 + 1, None],
    "float": [0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf"), 3.4028234663852886e38, 1e-45, None],
    "double": [0.0, -0.0, 0.1, float("nan"), float("inf"), 1.7976931348623157e308, 5e-324, None],
    "string": ["", "a", "é東\U0001f600", "a\x00b", "  pad ", "\n\t\r", "x" * 70_000, "e\u0301", None],
    "varchar(10)": ["", "abcdefghij", "東京", None],
    "char(5)": ["abcde", "abc", None],
    "binary": [bytearray(b""), bytearray(b"\x00\xff\x80"), bytearray(range(256)), None],
    "decimal(10,2)": [D("0.00"), D("12345678.90"), D("-0.01"), None],
    "decimal(38,0)": [D(BIG), D("-" + BIG), D(1), None],
    "decimal(38,38)": [D("0." + BIG), D("-0." + BIG), None],
    "decimal(38,18)": [D("1.000000000000000001"), D(-7), None],
    "date": [
        datetime.date(1970, 1, 1),
        datetime.date(1, 1, 1),
        datetime.date(9999, 12, 31),
        datetime.date(1582, 10, 4),
        None,
    ],
    "timestamp": [
        datetime.datetime(1970, 1, 1),
        datetime.datetime(2024, 2, 29, 23, 59, 59, 999999),
        datetime.datetime(1900, 1, 1, 12),
        datetime.datetime(2262, 4, 12),
        datetime.datetime(2024, 6, 1, 12, tzinfo=UTC),
        None,
    ],
    "timestamp_ntz": [
        datetime.datetime(1970, 1, 1),
        datetime.datetime(1, 1, 1),
        datetime.datetime(9999, 12, 31, 23, 59, 59, 999999),
        None,
    ],
    "interval day to second": [
        datetime.timedelta(0),
        datetime.timedelta(days=-1, microseconds=1),
        datetime.timedelta(days=100_000, seconds=1),
        None,
    ],
    "array<int>": [[], [1, None, 3], None],
    "array<array<string>>": [[["a"], [], None, ["é", None]], None],
    "map<string,int>": [{}, {"a": 1, "é": None}, None],
    "map<int,array<double>>": [{1: [0.5, None], 2: []}, None],
    "struct<a:int,b:string>": [Row(a=1, b="x"), Row(a=None, b=None), None],
    "struct<a:int,s:struct<m:map<string,array<date>>,d:decimal(5,1)>>": [
        Row(a=1, s=Row(m={"k": [datetime.date(2020, 1, 1), None]}, d=D("1.5"))),
        Row(a=2, s=None),
        None,
    ],
    "array<struct<x:long,y:array<map<string,boolean>>>>": [
        [Row(x=2**40, y=[{"t": True, "n": None}]), Row(x=None, y=None)],
        [],
        None,
    ],
    "void": [None, None],
}


def _types():
    for kind in VALUES:
        yield kind, "4.0"


def _through(kind, values):
    def run(spark):
        # Frames have no columns of char and varchar types; a UDF may return them all the same.
        column = "string" if "char" in kind else kind
        frame = spark.createDataFrame([(i, v) for i, v in enumerate(values)], f"i int, v {column}", verifySchema=False)

        @udf("string" if kind == "void" else kind, useArrow=False)
        def same(v):
            return v

        @udf("string", useArrow=False)
        def seen(v):
            return f"{type(v).__name__} {v!r}"[:200]

        # The JVM's own text of the value as well: `collect` alone could hide a lossy round trip.
        text = "cast(w as string)" if kind != "binary" else "hex(w)"
        chosen = frame.select("i", same("v").alias("w"), seen("v").alias("seen"))
        return chosen.select("i", "w", "seen", expr(text).alias("t")).orderBy("i").collect()

    run.__module__ = __name__
    return run


for _kind, _since in _types():
    case("default", since=_since, name=f"through_{_kind}", cluster=_kind in ("string", "timestamp"))(
        _through(_kind, VALUES[_kind])
    )


# Spark finds the class of a user-defined type by its module: it must be one that the executors have.
POINT_TYPES = """
from pyspark.sql import types as t

class PointUDT(t.UserDefinedType):
    @classmethod
    def sqlType(cls):
        return t.ArrayType(t.DoubleType(), False)
    @classmethod
    def module(cls):
        return "point_types"
    def serialize(self, p):
        return [p.x, p.y]
    def deserialize(self, d):
        return Point(d[0], d[1])

class Point:
    __UDT__ = PointUDT()
    def __init__(self, x, y):
        self.x, self.y = x, y
    def __repr__(self):
        return f"Point({self.x}, {self.y})"
"""


@case()
def user_defined_type(spark):
    with Folder() as folder:
        spark.sparkContext.addPyFile(folder.write("point_types.py", POINT_TYPES))
        from point_types import Point, PointUDT

        frame = spark.createDataFrame([(Point(1.0, 2.0),), (Point(-3.5, float("inf")),)], ["p"])
        flip = udf(lambda p: Point(p.y, p.x), PointUDT(), useArrow=False)
        norm = udf(lambda p: abs(p.x) + abs(p.y), "double", useArrow=False)
        return [frame.select(flip("p").alias("q"), norm("p")).collect(), frame.rdd.map(lambda r: r.p.x).collect()]


@case()
def char_columns_in(spark):
    seen = udf(lambda *vs: repr(vs), "string", useArrow=False)
    return spark.sql("select cast('東b' as varchar(10)) v, cast('a' as char(5)) c").select(seen("v", "c")).collect()


@case()
def variant(spark):
    frame = spark.sql("""select parse_json('{"a": [1, "é", null], "b": 2.5}') as v""")

    @udf("string", useArrow=False)
    def text(v):
        return None if v is None else f"{v.toPython()}"

    return frame.select(text("v")).collect()


@case()
def variant_out(spark):
    frame = spark.sql("""select parse_json('{"a": [1, 2]}') as v""")
    same = udf(lambda v: v, "variant", useArrow=False)
    return frame.select(same("v").cast("string")).collect()


@case()
def intervals_of_months(spark):
    same = udf(lambda v: v, "interval year to month", useArrow=False)
    return spark.sql("select interval '1-2' year to month as v").select(same("v")).collect()


@case(since="4.1")
def time_type(spark):
    same = udf(lambda v: v, "time(6)", useArrow=False)
    return spark.sql("select time'12:34:56.789' as v").select(same("v")).collect()


@case()
def nulls_in_every_column(spark):
    schema = ", ".join(f"c{i} {k}" for i, k in enumerate(["boolean", "int", "double", "string", "date", "array<int>"]))
    frame = spark.createDataFrame([(None,) * 6, (True, 1, 1.0, "s", datetime.date(2020, 1, 1), [1])], schema)
    seen = udf(lambda *vs: repr(vs), "string", useArrow=False)
    return frame.select(seen(*[f"c{i}" for i in range(6)])).collect()


@case()
def row_inside_udf(spark):
    frame = spark.createDataFrame([(1, "a"), (2, None)], "x int, `y é` string")

    @udf("string", useArrow=False)
    def look(row):
        return f"{type(row).__name__} {row.asDict()} {row['y é']} {row[0]} {row.__fields__}"

    return frame.select(look(expr("struct(*)")), look(expr("named_struct('x', 1, 'y é', 'z')"))).collect()


@case()
def literals_and_constants(spark):
    seen = udf(lambda *vs: repr(vs), "string", useArrow=False)
    args = [lit(None), lit(1), lit("é"), lit(D("1.50")), lit(datetime.date(2020, 1, 1)), lit(True), col("id")]
    return spark.range(2).select(seen(*args), seen()).collect()


@case()
def wide_rows(spark):
    frame = spark.range(50).select(*[(col("id") * i).alias(f"c{i}") for i in range(120)])
    total = udf(lambda *vs: sum(vs), "long", useArrow=False)
    return [r[0] for r in frame.select(total(*frame.columns)).collect()]
