"""One query for each kind of function that passes Arrow batches, so that a case can look at all of them alike.

A query is made of rows with the columns `id` and `k`, and of a `probe`: a function of the number of rows that a
call got, which runs inside each call and whose answer, a number, is the column `t` of the results.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
from pyspark.sql import Window, functions
from pyspark.sql.functions import arrow_udf, pandas_udf, udf, udtf


@dataclass(frozen=True)
class Node:
    """What a plan calls the node, with Davy and without; the functions' kind; how a query is made."""

    davy: str
    stock: str
    kind: str
    query: object


def _scalar_pandas(rows, probe):
    @pandas_udf("long")
    def probing(v: pd.Series) -> pd.Series:
        return pd.Series([probe(len(v))] * len(v))

    return rows.select(probing("id").alias("t"))


def _scalar_pandas_iter(rows, probe):
    @pandas_udf("long")
    def probing(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        for v in batches:
            yield pd.Series([probe(len(v))] * len(v))

    return rows.select(probing("id").alias("t"))


def _scalar_arrow(rows, probe):
    @arrow_udf("long")
    def probing(v: pa.Array) -> pa.Array:
        return pa.array([probe(len(v))] * len(v), pa.int64())

    return rows.select(probing("id").alias("t"))


def _scalar_arrow_iter(rows, probe):
    @arrow_udf("long")
    def probing(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for v in batches:
            yield pa.array([probe(len(v))] * len(v), pa.int64())

    return rows.select(probing("id").alias("t"))


def _plain(rows, probe):
    def probing(_):
        return probe(1)

    return rows.select(udf(probing, "long", useArrow=True)("id").alias("t"))


def _map_pandas(rows, probe):
    def probing(batches):
        for frame in batches:
            yield pd.DataFrame({"t": [probe(len(frame))]})

    return rows.mapInPandas(probing, "t long")


def _table(number):
    return pa.table({"t": pa.array([number], pa.int64())})


def _map_arrow(rows, probe):
    def probing(batches):
        for batch in batches:
            yield from _table(probe(batch.num_rows)).to_batches()

    return rows.mapInArrow(probing, "t long")


def _groups_pandas(rows, probe):
    def probing(group):
        return pd.DataFrame({"t": [probe(len(group))]})

    return rows.groupBy("k").applyInPandas(probing, "t long")


def _groups_pandas_iter(rows, probe):
    def probing(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in batches:
            yield pd.DataFrame({"t": [probe(len(frame))]})

    return rows.groupBy("k").applyInPandas(probing, "t long")


def _groups_arrow(rows, probe):
    def probing(group):
        return _table(probe(group.num_rows))

    return rows.groupBy("k").applyInArrow(probing, "t long")


def _groups_arrow_iter(rows, probe):
    def probing(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from _table(probe(batch.num_rows)).to_batches()

    return rows.groupBy("k").applyInArrow(probing, "t long")


def _both(rows):
    # Other columns than the first table's: Spark cannot join a table to itself.
    return rows.groupBy("k").cogroup(rows.selectExpr("id + 1 as other", "k").groupBy("k"))


def _cogroups_pandas(rows, probe):
    def probing(ours, theirs):
        return pd.DataFrame({"t": [probe(len(ours) + len(theirs))]})

    return _both(rows).applyInPandas(probing, "t long")


def _cogroups_arrow(rows, probe):
    def probing(ours, theirs):
        return _table(probe(ours.num_rows + theirs.num_rows))

    return _both(rows).applyInArrow(probing, "t long")


def _totals(make):
    """Queries of aggregates and of windows, by the function that they are made with."""

    def aggregate(rows, probe):
        return rows.groupBy("k").agg(make(probe)("id").alias("t")).select("t")

    def whole(rows, probe):
        return rows.select(make(probe)("id").over(Window.partitionBy("k")).alias("t"))

    def near(rows, probe):
        window = Window.partitionBy("k").orderBy("id").rowsBetween(-1, 1)
        return rows.select(make(probe)("id").over(window).alias("t"))

    return aggregate, whole, near


def _total_pandas(probe):
    @pandas_udf("long")
    def probing(v: pd.Series) -> int:
        return probe(len(v))

    return probing


def _total_pandas_iter(probe):
    @pandas_udf("long")
    def probing(batches: Iterator[pd.Series]) -> int:
        return max(probe(len(v)) for v in batches)

    return probing


def _total_arrow(probe):
    @arrow_udf("long")
    def probing(v: pa.Array) -> int:
        return probe(len(v))

    return probing


def _total_arrow_iter(probe):
    @arrow_udf("long")
    def probing(batches: Iterator[pa.Array]) -> int:
        return max(probe(len(v)) for v in batches)

    return probing


def _table_function(rows, probe):
    class Probing:
        def eval(self, _):
            yield (probe(1),)

    rows.sparkSession.udtf.register("probing", udtf(Probing, returnType="t long", useArrow=True))
    rows.createOrReplaceTempView("rows_of_probing")
    return rows.sparkSession.sql("select p.t from rows_of_probing, lateral probing(id) p")


def _arrow_table_function(rows, probe):
    class Probing:
        def eval(self, batch):
            yield _table(probe(batch.num_rows))

    rows.sparkSession.udtf.register("probing", functions.arrow_udtf(Probing, returnType="t long"))
    rows.createOrReplaceTempView("rows_of_probing")
    return rows.sparkSession.sql("select * from probing(table(rows_of_probing) partition by k)")


def _nodes():
    scalar = {"SCALAR_PANDAS": _scalar_pandas, "SCALAR_PANDAS_ITER": _scalar_pandas_iter}
    scalar |= {"SCALAR_ARROW": _scalar_arrow, "SCALAR_ARROW_ITER": _scalar_arrow_iter, "ARROW_BATCHED": _plain}
    for kind, query in scalar.items():
        yield Node("DavyArrowEvalPython", "ArrowEvalPython", kind, query)
    yield Node("DavyMapInBatch", "MapInPandas", "MAP_PANDAS_ITER", _map_pandas)
    yield Node("DavyMapInBatch", "MapInArrow", "MAP_ARROW_ITER", _map_arrow)
    for tables, query, batches in (
        ("Pandas", _groups_pandas, _groups_pandas_iter),
        ("Arrow", _groups_arrow, _groups_arrow_iter),
    ):
        stock = f"FlatMapGroupsIn{tables}"
        yield Node("DavyFlatMapGroups", stock, f"GROUPED_MAP_{tables.upper()}", query)
        # Spark's node asks whether the function takes an iterator: another kind, the same node.
        yield Node("DavyFlatMapGroups", stock + "Iter", f"GROUPED_MAP_{tables.upper()}_ITER", batches)
    for tables, query in (("Pandas", _cogroups_pandas), ("Arrow", _cogroups_arrow)):
        yield Node("DavyFlatMapCoGroups", f"FlatMapCoGroupsIn{tables}", f"COGROUPED_MAP_{tables.upper()}", query)
    for tables, make, make_iter in (
        ("PANDAS", _total_pandas, _total_pandas_iter),
        ("ARROW", _total_arrow, _total_arrow_iter),
    ):
        aggregate, *windows = _totals(make)
        yield Node("DavyAggregatePython", "ArrowAggregatePython", f"GROUPED_AGG_{tables}", aggregate)
        iterated = _totals(make_iter)[0]
        yield Node("DavyAggregatePython", "ArrowAggregatePython", f"GROUPED_AGG_{tables}_ITER", iterated)
        for window in windows:
            yield Node("DavyWindowPython", "ArrowWindowPython", f"WINDOW_AGG_{tables}", window)
    yield Node("DavyUdtfPython", "ArrowEvalPythonUDTF", "ARROW_TABLE", _table_function)
    yield Node("DavyUdtfPython", "ArrowEvalPythonUDTF", "ARROW", _arrow_table_function)


NODES = tuple(_nodes())


@contextlib.contextmanager
def settings(spark, **values):
    """Of the session, for a while; `__` stands for a dot."""
    names = {name.replace("__", "."): str(value) for name, value in values.items()}
    for name, value in names.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name in names:
            spark.conf.unset(name)


def nodes_of(frame):
    """The nodes of the plan that was executed, from its root."""
    waiting = [frame._jdf.queryExecution().executedPlan()]
    while waiting:
        node = waiting.pop()
        yield node
        if node.nodeName() == "AdaptiveSparkPlan":
            waiting.append(node.executedPlan())
        elif node.nodeName().endswith("QueryStage"):
            waiting.append(node.plan())
        else:
            children = node.children()
            waiting += [children.apply(i) for i in range(children.size())]
