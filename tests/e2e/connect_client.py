"""A client of Spark Connect: prints what each job gives, as a JSON object.  Started by test_connect.py."""

import json
import os
import shutil
import sys
import tempfile

import pandas as pd
from pyspark.sql import SparkSession, Window
from pyspark.sql.functions import arrow_udf, arrow_udtf, col, pandas_udf, udf, udtf

spark = SparkSession.builder.remote(sys.argv[1]).getOrCreate()


def rows(frame):
    return sorted(str(row.asDict()) for row in frame.collect())


@pandas_udf("long")
def add(v: pd.Series) -> pd.Series:
    return v + 1


@arrow_udf("long")
def add_arrow(v):
    import pyarrow.compute as pc

    return pc.add(v, 1)


@pandas_udf("double")
def mean(v: pd.Series) -> float:
    return v.mean()


@udtf(returnType="n long, s string")
class Twice:
    def eval(self, n):
        yield n, "a"
        yield n, "b"


def center(group):
    return group.assign(x=group.x - group.x.mean())


def identity(batches):
    yield from batches


numbers = spark.range(0, 1000, 1, 3).selectExpr(
    "id", "id % 7 as k", "cast(id as double) as x", "cast(id as string) as s"
)


def table_function():
    spark.udtf.register("twice", Twice)
    numbers.createOrReplaceTempView("numbers")
    return rows(spark.sql("select id, t.n, t.s from numbers, lateral twice(id) t where id < 9"))


def together():
    """Two tables' groups of the same keys, those that only one of them has among them."""
    others = numbers.filter("k < 5 and id < 100").selectExpr("id + 1000 as id", "k + 1 as k")
    return numbers.select("k", "x").groupBy("k").cogroup(others.groupBy("k"))


def sizes(key, ours, theirs):
    return pd.DataFrame({"k": [key[0]], "ours": [len(ours)], "theirs": [theirs.id.sum()]})


def arrow_sizes(key, ours, theirs):
    import pyarrow as pa

    return pa.table({"k": [key[0].as_py()], "ours": [ours.num_rows], "theirs": [theirs.num_rows]})


def windows():
    by = Window.partitionBy("k")
    near = by.orderBy("id").rowsBetween(-1, 1)
    return rows(numbers.select("id", mean("x").over(by), mean("x").over(near)).filter("id < 50"))


def arrow_table_functions():
    @udtf(returnType="n long, s string", useArrow=True)
    class OfRows:
        def eval(self, n):
            yield n, "a"
            yield n, "b"

    @arrow_udtf(returnType="rows long")
    class OfBatches:
        def eval(self, batch):
            import pyarrow as pa

            yield pa.table({"rows": pa.array([batch.num_rows], pa.int64())})

    spark.udtf.register("of_rows", OfRows)
    spark.udtf.register("of_batches", OfBatches)
    numbers.createOrReplaceTempView("numbers")
    return [
        rows(spark.sql("select id, t.n, t.s from numbers, lateral of_rows(id) t where id < 9")),
        rows(spark.sql("select sum(rows) from of_batches(table(numbers) partition by k)")),
    ]


def cached():
    kept = numbers.select("k", add("id").alias("v")).cache()
    counts = [kept.count(), kept.filter("v > 500").count()]
    joined = rows(kept.join(numbers.select("k", "x"), "k").groupBy("k").agg(mean("x"), mean("v")))
    kept.unpersist()
    return counts, joined


def codegen_off():
    spark.conf.set("spark.sql.codegen.wholeStage", "false")
    try:
        return rows(numbers.filter("k = 1").select(add("id"), add_arrow(col("id") * 2)))
    finally:
        spark.conf.set("spark.sql.codegen.wholeStage", "true")


def artifact(session, word):
    """A module of the session's own: another session has another one of this name."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "davy_tenant.py")
        with open(path, "w") as file:
            file.write(f"WORD = {word!r}\n")
        session.addArtifacts(path, pyfile=True)

    @udf("string")
    def tell(_):
        import davy_tenant

        return davy_tenant.WORD

    return tell


def brought_along():
    """An archive and a file, which reach the tasks of their session."""
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "kit/inner"))
        for name, text in (("kit/inner/word.txt", "wörd"), ("notes.txt", "nôtes")):
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write(text)
        kit = shutil.make_archive(os.path.join(folder, "kit"), "zip", os.path.join(folder, "kit"))
        spark.addArtifacts(f"{kit}#davy_kit", archive=True)
        spark.addArtifacts(os.path.join(folder, "notes.txt"), file=True)

    @pandas_udf("string")
    def tell(v: pd.Series) -> pd.Series:
        from pyspark import SparkFiles

        words = []
        for name in ("davy_kit/inner/word.txt", "notes.txt"):
            with open(os.path.join(SparkFiles.getRootDirectory(), name), encoding="utf-8") as file:
                words.append(file.read())
        return v.map(lambda n: f"{n} {words}")

    return rows(numbers.limit(3).select(tell("id")))


def two_sessions():
    other = spark.newSession()
    ours, theirs = artifact(spark, "ours"), artifact(other, "theirs")

    def ask(session, tell):
        return sorted({row[0] for row in session.range(0, 8, 1, 4).select(tell("id")).collect()})

    return [ask(spark, ours), ask(other, theirs), ask(spark, ours)]


def fails():
    return rows(numbers.select(udf(lambda n: 1 // (n - 500), "long")("id")))


def exits():
    return rows(numbers.select(udf(lambda n: exit(), "long")("id")))


JOBS = {
    "plain": lambda: rows(numbers.select(udf(lambda n, s: f"{n}{s}", "string")("id", "s"))),
    "pickled": lambda: rows(numbers.select(udf(lambda n: n * 2, "long", useArrow=False)("id"))),
    "pandas and arrow": lambda: rows(numbers.select(add("id"), add_arrow("id"), add(add("id")))),
    "mapInPandas": lambda: rows(numbers.mapInPandas(identity, numbers.schema)),
    "mapInArrow": lambda: rows(numbers.mapInArrow(identity, numbers.schema)),
    "applyInPandas": lambda: rows(numbers.select("k", "x").groupBy("k").applyInPandas(center, "k long, x double")),
    "applyInArrow": lambda: rows(numbers.groupBy("k").applyInArrow(lambda group: group.slice(0, 3), numbers.schema)),
    "cogroup in pandas": lambda: rows(together().applyInPandas(sizes, "k long, ours long, theirs long")),
    "cogroup in Arrow": lambda: rows(together().applyInArrow(arrow_sizes, "k long, ours long, theirs long")),
    "window": windows,
    "Arrow table functions": arrow_table_functions,
    "aggregate": lambda: rows(numbers.groupBy("k").agg(mean("x"))),
    "table function": table_function,
    "cached, joined, adaptive": cached,
    "codegen off": codegen_off,
    "two sessions": two_sessions,
    "an archive and a file": brought_along,
    "an error": fails,
    "an exit": exits,
}


def outcome(job):
    try:
        return job()
    except Exception as error:
        return [
            type(error).__name__,
            getattr(error, "getCondition", lambda: None)(),
            str(error).strip().splitlines()[-1],
        ]


found = {name: outcome(job) for name, job in JOBS.items()}
# An adaptive plan that has not run shows Spark's nodes above a shuffle: ours come with its last stage.
spark.conf.set("spark.sql.adaptive.enabled", "false")
planned = (
    numbers.select(add("id"), add_arrow("id")),
    numbers.groupBy("k").applyInArrow(lambda group: group, numbers.schema),
    together().applyInPandas(sizes, "k long, ours long, theirs long"),
    numbers.select(mean("x").over(Window.partitionBy("k"))),
    spark.sql("select t.n from numbers, lateral of_rows(id) t"),
)
plans = [frame._explain_string() for frame in planned]
print("RESULT " + json.dumps({"jobs": found, "plans": plans}), flush=True)
spark.stop()
