"""What is kept around functions that get Arrow batches: input files, subqueries, caches, Spark's own figures."""

import os
import tempfile

import pandas as pd
from pyspark.sql.functions import PandasUDFType, col, input_file_name, pandas_udf, udf
from pyspark.sql.types import LongType, StringType

from cases.attempts import attempt
from cases.every_node import NODES, nodes_of, settings
from harness.registry import case

#: Of functions of the same kind of node, one.
EACH = {node.stock: node for node in NODES}.values()
PLAIN = {"spark__sql__adaptive__enabled": "false"}


def _rows(spark, count=12, parts=2):
    return spark.range(0, count, 1, parts).selectExpr("id", "id % 3 as k")


@pandas_udf(LongType())
def plus_one(v: pd.Series) -> pd.Series:
    return v + 1


@pandas_udf(StringType())
def told(v: pd.Series) -> pd.Series:
    return "<" + v.astype(str) + ">"


def _folder_of_files(spark, folder, kind="parquet"):
    """Four files, of which one holds no rows."""
    rows = spark.range(0, 9, 1, 1).selectExpr("id", "id % 3 as k", "cast(id as string) as s")
    for n, condition in enumerate(("id < 3", "id >= 3 and id < 8", "id < 0", "id = 8")):
        rows.filter(condition).coalesce(1).write.mode("append").format(kind).save(os.path.join(folder, f"part{n}"))
    return spark.read.format(kind).load([os.path.join(folder, f"part{n}") for n in range(4)])


@case(since="4.3", seconds=600)
def input_files_of_every_kind(spark):
    """Below a function, above it, as its argument and beside it: each row has the name of its own file."""

    def short(column):
        return f"regexp_extract({column}, '(part.)/part-0*([0-9]+)', 1)"

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("parquet", "json"):
            files = _folder_of_files(spark, os.path.join(folder, kind), kind)
            for setting in (
                {},
                {"spark__sql__execution__arrow__maxRecordsPerBatch": 2},
                {"spark__sql__parquet__enableVectorizedReader": "false"},
                {"spark__sql__files__maxPartitionBytes": 400, "spark__sql__files__openCostInBytes": 0},
            )[: 4 if kind == "parquet" else 1]:
                with settings(spark, **setting):
                    frames = {
                        "below": files.select("id", input_file_name().alias("f")).select(
                            plus_one("id").alias("n"), told("f").alias("t")
                        ),
                        "beside": files.select(plus_one("id").alias("n"), input_file_name().alias("t")),
                        "argument": files.select(plus_one("id").alias("n"), told(input_file_name()).alias("t")),
                        "above": files.select(plus_one("id").alias("n")).select("n", input_file_name().alias("t")),
                        "above a map": files.mapInPandas(lambda batches: batches, files.schema).select(
                            col("id").alias("n"), input_file_name().alias("t")
                        ),
                        "filter above": files.select(plus_one("id").alias("n"))
                        .filter(input_file_name().contains("part1"))
                        .selectExpr("n", "'' as t"),
                        "block": files.select(plus_one("id").alias("n")).selectExpr(
                            "n", "cast(input_file_block_start() >= 0 as string) as t"
                        ),
                    }
                    for where, frame in frames.items():
                        names = frame.selectExpr("n", f"{short('t')} as f", "substr(t, 1, 1) as t")
                        found[kind, *setting, where] = attempt(
                            lambda names=names: sorted(tuple(r) for r in names.collect())
                        )
    return found


@case("no_aqe", "default", since="4.3", seconds=600)
def subqueries_as_arguments(spark):
    """Scalar subqueries as arguments of functions, in filters above and below them, and functions within them."""
    _rows(spark).createOrReplaceTempView("rows_of_queries")
    spark.range(5, 8).createOrReplaceTempView("other_rows")
    for name, function in (("plus_one", plus_one), ("told", told)):
        spark.udf.register(name, function)
    spark.udf.register("plain_one", udf(lambda n: n and n + 1, "long", useArrow=True))
    spark.udf.register("greatest", pandas_udf(lambda v: v.max(), "long", PandasUDFType.GROUPED_AGG))
    queries = (
        "select id, plus_one((select max(id) from other_rows)) from rows_of_queries",
        "select id, plus_one(id + (select max(id) from other_rows)), told(k) from rows_of_queries",
        "select id, plain_one((select id from other_rows where id > 100)) from rows_of_queries",
        "select plus_one(id) n from rows_of_queries where plus_one(id) > (select min(id) from other_rows)",
        "select plus_one(id) n from rows_of_queries where k = (select min(id) - 5 from other_rows)",
        "select id, (select max(plus_one(id)) from other_rows) m, plus_one(k) from rows_of_queries",
        "select id, plus_one((select max(plus_one(id)) from other_rows)) from rows_of_queries",
        "select id, plus_one((select max(o.id) from other_rows o where o.id = r.k + 5)) from rows_of_queries r",
        "select id from rows_of_queries where plus_one(id) in (select plus_one(id) from other_rows)",
        "select k, greatest(id + (select min(id) from other_rows)) from rows_of_queries group by k",
        "select id, plus_one((select id from other_rows)) from rows_of_queries",
    )
    found = {query: attempt(lambda query=query: sorted(map(str, spark.sql(query).collect()))) for query in queries}
    frame = spark.sql("select id + (select max(id) from other_rows) as id, k from rows_of_queries")
    found["map"] = attempt(lambda: sorted(map(str, frame.mapInPandas(lambda b: b, "id long, k long").collect())))
    found["groups"] = attempt(
        lambda: sorted(map(str, frame.groupBy("k").applyInPandas(lambda g: g, "id long, k long").collect()))
    )
    return found


@case(since="4.3", seconds=600)
def results_of_every_kind_in_a_cache(spark):
    """They are computed once, and are the same when they are read again, in part and in another order."""
    found = {}
    for node in EACH:
        calls = spark.sparkContext.accumulator(0)

        def probe(n, calls=calls):
            calls.add(1)
            return n

        kept = node.query(_rows(spark, 9, 1), probe).cache()
        seen = [kept.count(), calls.value, sorted(map(tuple, kept.collect())), kept.filter("t > 2").count()]
        seen += [sorted(map(tuple, kept.groupBy("t").count().collect())), kept.select(plus_one("t")).count()]
        # Each call counted again would be a function that ran twice.
        seen.append(calls.value == seen[1])
        kept.unpersist()
        found[node.stock] = seen
    return found


@case("no_aqe", since="4.3", seconds=600)
def figures_that_spark_has_as_well(spark):
    """Rows that came out of Python, in Spark's own figure, for every kind."""
    found = {}
    names = {node.davy for node in NODES} | {node.stock.removesuffix("Iter") for node in NODES}
    for node in NODES:
        frame = node.query(_rows(spark, 30), lambda n: n)
        rows = len(frame.collect())
        [python] = [n for n in nodes_of(frame) if n.nodeName() in names]
        metrics = python.metrics()
        kept = [name for name in ("pythonNumRowsReceived", "pythonDataSent", "pythonDataReceived", "spillSize")]
        values = {name: metrics.apply(name).value() for name in kept if metrics.contains(name)}
        moved = [values.pop(name) > 0 for name in ("pythonDataSent", "pythonDataReceived")]
        found[node.kind, node.query.__name__] = (rows, values, moved)
    return found
