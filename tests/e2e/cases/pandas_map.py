"""Functions from an iterator of batches to an iterator of batches: mapInPandas and mapInArrow."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.functions import col, udf

from cases.arrow_udf_types import KINDS
from cases.attempts import attempt, attempts
from harness.registry import case


def _half(frames):
    for f in frames:
        yield f[f.id % 2 == 0]


def _half_in_arrow(batches):
    for batch in batches:
        yield batch.filter(pc.equal(pc.bit_wise_and(batch.column("id"), 1), 0))


@case("default", "small_batches", "no_reuse", cluster=True)
def filters(spark):
    frame = spark.range(0, 11, 1, 2)
    return [
        sorted(frame.mapInPandas(_half, "id long").collect()),
        sorted(frame.mapInArrow(_half_in_arrow, "id long").collect()),
    ]


@case("default", "small_batches")
def more_rows_and_other_columns(spark):
    def repeated(frames):
        for f in frames:
            for n in range(3):
                yield pd.DataFrame({"s": f.id.astype(str) * n, "n": n, "extra": None})

    def counted(batches):
        rows = 0
        for batch in batches:
            rows += batch.num_rows
            yield pa.RecordBatch.from_pydict({"n": [batch.num_rows] * 2, "s": ["é", None]})
        yield pa.RecordBatch.from_pydict({"n": [rows], "s": ["all"]})

    frame = spark.range(0, 7, 1, 1)
    return [
        frame.mapInPandas(repeated, "n int, s string").collect(),
        frame.mapInArrow(counted, "n long, s string").collect(),
    ]


@case()
def empty_partitions_and_results(spark):
    def seen(frames):
        yield pd.DataFrame({"rows": [len(f) for f in frames] or [-1]})

    def seen_in_arrow(batches):
        yield pa.RecordBatch.from_pydict({"rows": pa.array([b.num_rows for b in batches] or [-1], "i8")})

    thin, none = spark.range(0, 2, 1, 3), spark.range(0, 4, 1, 1).where("id < 0")
    return [
        [sorted(f.mapInPandas(seen, "rows long").collect()) for f in (thin, none)],
        [sorted(f.mapInArrow(seen_in_arrow, "rows long").collect()) for f in (thin, none)],
        thin.mapInPandas(lambda frames: iter(()), "id long").collect(),
        thin.mapInPandas(lambda frames: (f[:0] for f in frames), "id long").collect(),
    ]


def _types(kinds):
    """All columns of several types at once, the same out as in."""

    def run(spark):
        rows = [tuple(KINDS[k][i] for k in kinds) for i in (0, -1)]
        schema = ", ".join(f"c{i} {k}" for i, k in enumerate(kinds))
        frame = spark.createDataFrame(rows, schema, verifySchema=False).coalesce(1)

        def same(batches):
            yield from batches

        def looked(frames):
            for f in frames:
                yield pd.DataFrame({"t": [f"{f[c].dtype} {f[c].tolist()!r}" for c in f.columns]})

        def looked_in_arrow(batches):
            for b in batches:
                yield pa.RecordBatch.from_pydict({"t": [f"{c.type} {c.to_pylist()!r}" for c in b.columns]})

        return [
            frame.mapInPandas(same, frame.schema).collect(), frame.mapInPandas(looked, "t string").collect(),
            frame.mapInArrow(same, frame.schema).collect(), frame.mapInArrow(looked_in_arrow, "t string").collect(),
        ]  # fmt: skip

    run.__module__ = __name__
    return run


TYPES = {
    "numbers": ["boolean", "byte", "short", "int", "long", "float", "double", "decimal(38,18)"],
    "texts": ["string", "binary", "array<binary>"],
    "times": ["date", "timestamp", "timestamp_ntz", "interval day to second"],
    "nested": ["array<array<string>>", "map<string,int>", "struct<a:int,b:string>", "map<int,array<double>>"],
}
for _name, _kinds in TYPES.items():
    case("default", name=f"types_{_name}")(_types(_kinds))
case("berlin", name="berlin_times")(_types(TYPES["times"]))


@case()
def in_a_longer_query(spark):
    inc = udf(lambda x: x + 1, "long", useArrow=False)
    frame = spark.range(0, 20, 1, 2).withColumn("k", inc("id") % 4)
    mapped = frame.mapInPandas(lambda fs: (f.groupby("k", as_index=False).sum() for f in fs), "k long, id long")
    again = mapped.mapInArrow(_half_in_arrow, "k long, id long")
    return [again.groupBy("k").agg({"id": "sum"}).orderBy("k").collect(), again.where(col("k") == 1).count() > 0]


@case()
def limit_stops_early(spark):
    def endless(frames):
        for f in frames:
            while True:
                yield f[:2]

    def endless_in_arrow(batches):
        for b in batches:
            while True:
                yield b

    frame = spark.range(0, 10, 1, 1)
    return [
        frame.mapInPandas(endless, "id long").limit(5).collect(),
        frame.mapInArrow(endless_in_arrow, "id long").limit(25).count(),
    ]


@case()
def input_not_read(spark):
    frame = spark.range(0, 100_000, 1, 1)
    return [
        frame.mapInPandas(lambda frames: iter([pd.DataFrame({"x": [1]})]), "x long").collect(),
        frame.mapInPandas(lambda frames: iter([next(frames)[:1]]), "id long").collect(),
        frame.mapInArrow(lambda batches: iter([next(batches).slice(0, 1)]), "id long").collect(),
    ]


@case()
def large_batches(spark):
    def wide(frames):
        for f in frames:
            yield pd.DataFrame({"s": ["é" * 1000] * len(f), "id": f.id})

    frame = spark.range(0, 20_000, 1, 2).mapInPandas(wide, "id long, s string")
    return frame.selectExpr("sum(id)", "sum(length(s))", "count(*)").collect()


PANDAS = {
    "missing": lambda f: f[["a"]], "extra": lambda f: f.assign(c=1), "swapped": lambda f: f[["b", "a"]],
    "renamed": lambda f: f.rename(columns={"b": "z"}),
    "types": lambda f: f.assign(a="text"), "numbered": lambda f: pd.DataFrame({0: f.a, 1: f.b}),
    "series": lambda f: f.a,
    "none": lambda f: None, "scalar": lambda f: 5, "raises": lambda f: f["no such"],
    "overflow": lambda f: f.assign(a=2**40),
}  # fmt: skip
ARROW = {
    "missing": lambda b: b.select(["a"]), "extra": lambda b: pa.RecordBatch.from_pydict({**b.to_pydict(), "c": [1]}),
    "swapped": lambda b: b.select(["b", "a"]), "renamed": lambda b: b.rename_columns(["a", "z"]),
    "table": lambda b: pa.Table.from_batches([b]),
    "types": lambda b: pa.RecordBatch.from_pydict({"a": ["x"], "b": ["y"]}), "frame": lambda b: b.to_pandas(),
    "none": lambda b: None,
    "raises": lambda b: b.column("no such"),
    "large types": lambda b: b.set_column(1, "b", pa.array(["x"], pa.large_string())),
    "wider": lambda b: pa.RecordBatch.from_pydict({"a": pa.array([1], "i8"), "b": ["y"]}),
}  # fmt: skip


def _result(how, name):
    def run(spark):
        frame = spark.createDataFrame([(1, "x")], "a int, b string").coalesce(1)
        table = PANDAS if how == "pandas" else ARROW
        mapped = frame.mapInPandas if how == "pandas" else frame.mapInArrow
        return attempt(lambda: mapped(lambda items, f=table[name]: (f(i) for i in items), "a int, b string").collect())

    run.__module__ = __name__
    return run


for _how, _table in {"pandas": PANDAS, "arrow": ARROW}.items():
    for _name in _table:
        case("default", name=f"{_how}_returns_{_name.replace(' ', '_')}")(_result(_how, _name))


@case()
def not_iterators(spark):
    frame = spark.range(0, 2, 1, 1)
    return attempts({
        "none": lambda: frame.mapInPandas(lambda fs: None, "id long").collect(),
        "list": lambda: frame.mapInPandas(lambda fs: list(fs), "id long").collect(),
        "frame": lambda: frame.mapInPandas(lambda fs: next(fs), "id long").collect(),
        "arrow none": lambda: frame.mapInArrow(lambda bs: None, "id long").collect(),
        "arguments": lambda: frame.mapInPandas(lambda a, b: a, "id long").collect(),
        "schema": lambda: frame.mapInPandas(lambda fs: fs, "id nothing").collect(),
    })  # fmt: skip


@case()
def error_after_some_batches(spark):
    def late(frames):
        for n, f in enumerate(frames):
            if n == 2:
                raise ValueError(f"batch {n} né")
            yield f

    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "2")
    try:
        return spark.range(0, 9, 1, 1).mapInPandas(late, "id long").collect()
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


@case()
def barrier_in_pandas(spark):
    return sorted(spark.range(0, 6, 1, 2).mapInPandas(_half, "id long", barrier=True).collect())


@case()
def barrier_in_arrow(spark):
    return sorted(spark.range(0, 6, 1, 2).mapInArrow(_half_in_arrow, "id long", barrier=True).collect())


@case()
def barrier_tasks_meet(spark):
    def meet(frames):
        from pyspark import BarrierTaskContext

        context = BarrierTaskContext.get()
        rows = sum(len(f) for f in frames)
        context.barrier()
        yield pd.DataFrame({"t": [f"{context.partitionId()} {context.allGather(str(rows))}"]})

    return sorted(spark.range(0, 5, 1, 2).mapInPandas(meet, "t string", barrier=True).collect())
