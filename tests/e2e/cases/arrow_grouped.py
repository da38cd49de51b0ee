"""Arrow functions over groups and pairs of groups."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from cases.attempts import attempt, attempts
from cases.pandas_grouped import groups, others
from harness.registry import case


@case("default", "small_batches", cluster=True)
def apply_in_arrow(spark):
    def demeaned(table: pa.Table) -> pa.Table:
        x = table.column("x")
        return table.set_column(2, "x", pc.subtract(x, pc.mean(x)))

    def counted(key, table):
        return pa.table(
            {
                "k": pa.array([key[0].as_py()], "string"),
                "c": [table.num_rows],
                "t": [f"{key!r} {table.schema.to_string()}"],
            }
        )

    by = groups(spark).groupBy("k")
    return [
        by.applyInArrow(demeaned, "k string, n long, x double").orderBy("n").collect(),
        sorted(by.applyInArrow(counted, "k string, c long, t string").collect(), key=str),
    ]


@case("default", "small_batches", since="4.1")
def apply_in_arrow_iterators(spark):
    def large(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield batch.filter(pc.field("n") > 3)

    def counted(key: tuple[pa.Scalar, ...], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict(
            {"k": pa.array([key[0].as_py()], "string"), "c": [sum(b.num_rows for b in batches)]}
        )

    by = groups(spark, 30).groupBy("k")
    return [
        by.applyInArrow(large, "k string, n long, x double").orderBy("n").collect(),
        sorted(by.applyInArrow(counted, "k string, c long").collect(), key=str),
    ]


@case()
def apply_in_arrow_wrong(spark):
    by = groups(spark, 1).groupBy("k")
    table = {
        "missing": lambda t: t.select(["n"]), "swapped": lambda t: t.select(["x", "n"]), "extra": lambda t: t,
        "types": lambda t: pa.table({"n": ["a"], "x": [1.0]}), "narrow": lambda t: pa.table({"n": pa.array([1], "i4"),
        "x": [1.0]}),
        "frame": lambda t: t.to_pandas(), "raises": lambda t: t.column("no such"),
    }  # fmt: skip
    return attempts({n: lambda f=f: by.applyInArrow(f, "n long, x double").collect() for n, f in table.items()})


@case("default", "small_batches")
def cogroups_in_arrow(spark):
    def pair(left: pa.Table, right: pa.Table) -> pa.Table:
        return pa.table({"l": [left.num_rows], "r": pa.array([pc.sum(right.column("w")).as_py()], "i8")})

    def with_key(key, left, right):
        return pa.table({"t": [f"{key!r} {left.num_rows} {sorted(right.column('w').to_pylist())}"]})

    both = groups(spark).groupBy("k").cogroup(others(spark).groupBy("k"))
    return [
        sorted(both.applyInArrow(pair, "l long, r long").collect(), key=str),
        sorted(both.applyInArrow(with_key, "t string").collect()),
        attempt(lambda: both.applyInArrow(lambda a, b: a, "l long, r long").collect()),
    ]
