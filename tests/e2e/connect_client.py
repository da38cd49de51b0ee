"""A client of Spark Connect: prints what each job gives, as a JSON object.  Started by test_connect.py."""

import json
import os
import sys
import tempfile

import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import arrow_udf, col, pandas_udf, udf, udtf

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
    "aggregate": lambda: rows(numbers.groupBy("k").agg(mean("x"))),
    "table function": table_function,
    "cached, joined, adaptive": cached,
    "codegen off": codegen_off,
    "two sessions": two_sessions,
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
plan = numbers.select(add("id"), add_arrow("id"))._explain_string()
print("RESULT " + json.dumps({"jobs": found, "plan": plan}), flush=True)
spark.stop()
