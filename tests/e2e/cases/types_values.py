"""Types that the loops of other modules leave out: what aggregates return, and columns of times, variants, UDTs."""

import pandas as pd
import pyarrow as pa
from pyspark.sql.functions import PandasUDFType, col, lit, pandas_udf, udf

from cases.attempts import attempts
from cases.files import Folder
from cases.types_rows import ALONE, TOGETHER, frame_of
from cases.types_udf import POINT_TYPES
from harness.registry import case

NESTED = [kind for kind in TOGETHER["nested"] if kind.startswith(("map", "struct"))]
# One by one what not every kind of function may return.
SINGLE = [*ALONE, *TOGETHER["nested"], "interval day to second"]
EVERY = {k: [x for x in v if x not in SINGLE] for k, v in TOGETHER.items() if k != "nested"} | {k: [k] for k in SINGLE}


def _aggregated(spark, kinds, make):
    """Of each column, of all rows and of groups of two, one of which has only nulls."""
    from pyspark.sql.functions import monotonically_increasing_id

    frame = frame_of(spark, kinds).withColumn("k", (monotonically_increasing_id() / 2).cast("int"))
    columns = [make(kind)(f"c{i}").alias(f"a{i}") for i, kind in enumerate(kinds)]
    of_all = frame.agg(*columns).collect() if len(kinds) > 1 else None
    return [of_all, frame.groupBy("k").agg(*columns).orderBy("k").collect()]


@case(since="4.1")
def aggregates_in_arrow(spark):
    from pyspark.sql.functions import ArrowUDFType, arrow_udf

    def first(kind):
        return arrow_udf(lambda a: a[0].as_py(), kind, ArrowUDFType.GROUPED_AGG)

    return attempts({name: lambda kinds=kinds: _aggregated(spark, kinds, first) for name, kinds in EVERY.items()})


@case(since="4.1")
def aggregates_in_arrow_of_scalars(spark):
    """What it returns is Arrow's own scalar."""
    from pyspark.sql.functions import ArrowUDFType, arrow_udf

    def last(kind):
        return arrow_udf(lambda a: a[-1], kind, ArrowUDFType.GROUPED_AGG)

    return attempts({name: lambda kinds=kinds: _aggregated(spark, kinds, last) for name, kinds in EVERY.items()})


@case()
def aggregates_in_pandas(spark):
    def first(kind):
        return pandas_udf(lambda s: s.iloc[0], kind, PandasUDFType.GROUPED_AGG)

    def shape(kind):
        return pandas_udf(lambda s: f"{type(s).__name__} {s.iloc[0]!r}", "string", PandasUDFType.GROUPED_AGG)

    return [
        attempts({name: lambda kinds=kinds: _aggregated(spark, kinds, first) for name, kinds in EVERY.items()}),
        attempts({"seen": lambda: _aggregated(spark, NESTED, shape)}),
    ]


@case("default", "small_batches", since="4.1")
def arrow_arguments_by_name_and_default(spark):
    from pyspark.sql.functions import arrow_udf

    @arrow_udf("string")
    def shown(a: pa.Array, b: pa.Array = None, **more: pa.Array) -> pa.Array:
        return pa.array([f"{x} {None if b is None else b[i]} {sorted(more)}" for i, x in enumerate(a)])

    def stepped(a: pa.Array, step: int = 3) -> pa.Array:
        return pa.array([x + step for x in a.to_pylist()], "i8")

    frame = spark.range(0, 8, 1, 2).withColumn("s", col("id").cast("string"))
    spark.udf.register("shown_by_sql", shown)
    return attempts({
        "first": lambda: frame.select(shown("id")).collect(),
        "both": lambda: frame.select(shown(b="s", a="id")).collect(),
        "more": lambda: frame.select(shown("id", z="s", y=lit(1))).collect(),
        "sql": lambda: frame.selectExpr("shown_by_sql(id, b => s)").collect(),
        "twice": lambda: frame.selectExpr("shown_by_sql(id, a => s)").collect(),
        "default of a number": lambda: frame.select(arrow_udf(stepped, "long")("id")).collect(),
        "missing": lambda: frame.select(shown(b="s")).collect(),
    })  # fmt: skip


def _both(frame, kind, text="w"):
    """The column through a pandas UDF and an Arrow UDF, and what each sees."""
    from pyspark.sql.functions import arrow_udf

    def shown(s):
        rows = s.itertuples(index=False, name=None) if isinstance(s, pd.DataFrame) else s
        return pd.Series([f"{type(v).__name__} {v!r}" for v in rows])

    return attempts({
        "pandas": lambda: frame.select(pandas_udf(lambda s: s, kind)("v").alias("w")).selectExpr(text).collect(),
        "seen in pandas": lambda: frame.select(pandas_udf(shown, "string")("v")).collect(),
        "arrow": lambda: frame.select(arrow_udf(lambda a: a, kind)("v").alias("w")).selectExpr(text).collect(),
        "seen in arrow": lambda: frame.select(
            arrow_udf(lambda a: pa.array([f"{a.type} {x!r}" for x in a]), "string")("v")
        ).collect(),
    })  # fmt: skip


@case(since="4.1")
def times(spark):
    of_day = "time'12:34:56.789', time'00:00:00', time'23:59:59.999999', null"
    spark.conf.set("spark.sql.timeType.enabled", "true")
    try:
        frame = spark.sql(f"select explode(array({of_day})) v").coalesce(1)
        pickled = udf(lambda v: v, "time(6)", useArrow=False)
        plain = udf(lambda v: v, "time(6)", useArrow=True)
        return [
            _both(frame, "time(6)"),
            _both(frame.selectExpr("array(v) v"), "array<time(6)>"),
            attempts({"pickled": lambda: frame.select(pickled("v")).collect()}),
            attempts({"plain": lambda: frame.select(plain("v")).collect()}),
        ]
    finally:
        spark.conf.unset("spark.sql.timeType.enabled")


@case(since="4.1")
def variants(spark):
    texts = """'{"a": [1, "é", null], "b": 2.5}', '1', 'null', null"""
    frame = spark.sql(f"select parse_json(t) v from (select explode(array({texts})) t)").coalesce(1)
    return [
        _both(frame, "variant", "cast(w as string)"),
        _both(frame.selectExpr("array(v) v"), "array<variant>", "cast(w[0] as string)"),
    ]


@case(since="4.1")
def intervals_of_months(spark):
    """pyarrow has no class for them: where in pyarrow that shows differs."""
    frame = spark.sql("select explode(array(interval '1-2' year to month, null)) v").coalesce(1)
    return [(name, "KeyError: 21" in text or text) for name, text in _both(frame, "interval year to month").items()]


@case(since="4.1")
def user_defined_types(spark):
    with Folder() as folder:
        spark.sparkContext.addPyFile(folder.write("point_types.py", POINT_TYPES))
        from point_types import Point, PointUDT

        frame = spark.createDataFrame([(Point(1.0, 2.0),), (Point(-3.5, float("inf")),)], ["v"]).coalesce(1)
        return _both(frame, PointUDT())


@case("default", "small_batches")
def pickled_on_empty_partitions(spark):
    inc = udf(lambda x: x + 1, "long", useArrow=False)
    frame = spark.range(0, 4, 1, 6)
    return [
        frame.select(inc("id")).collect(),
        frame.where("id > 9").select(inc("id")).collect(),
        frame.where("id = 3").select(inc("id")).collect(),
        spark.createDataFrame([], "id long").select(inc("id")).collect(),
        frame.repartition(5, "id").where(inc("id") > 2).select(inc(inc("id"))).orderBy(inc("id")).collect(),
    ]
