"""Spark's classes as the tests' JVMs map them: the JDK's class data sharing.

A third of the start of a JVM with Spark was parsing and verifying classes. What a small job loads is
archived once for each Spark and JDK, in the cache outside the tree; the JDK itself passes over an
archive that does not fit.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import pathlib
import subprocess
import sys

# Archived for the Spark that has most of the tests: making one takes as long as it spares in a dozen starts.
VERSIONS = ("4.3.0",)
JOB = """
import tempfile
import pandas as pd
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.builder.getOrCreate()
spark.sparkContext.parallelize(range(9), 2).map(lambda n: (n % 2, n)).groupByKey().collect()
with tempfile.TemporaryDirectory() as folder:
    spark.range(99).selectExpr("id", "id % 3 AS k", "cast(id AS string) AS s").write.parquet(f"{folder}/rows")
    frame = spark.read.parquet(f"{folder}/rows").cache()
    frame.select(F.pandas_udf(lambda s: s, "string")("s"), F.udf(lambda n: n)("id")).collect()
    frame.groupBy("k").applyInPandas(lambda rows: rows, frame.schema).join(frame, "k").count()
spark.createDataFrame([(1, [2.5], {"a": "b"})], "a int, b array<double>, c map<string,string>").collect()
spark.stop()
"""


def _java() -> bytes:
    home = os.environ.get("JAVA_HOME")
    java = f"{home}/bin/java" if home else "java"
    return subprocess.run([java, "-version"], check=True, capture_output=True).stderr


@functools.cache
def option(version: str, home: pathlib.Path, cache: pathlib.Path, flags: str) -> str:
    """The JVM's option that names the archive for a Spark's environment, made first if it is not there."""
    if version not in VERSIONS:
        return ""
    what = hashlib.sha256(b"\0".join([str(home).encode(), _java(), flags.encode(), JOB.encode()])).hexdigest()[:12]
    folder = cache / "classes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"spark-{version}-{what}.jsa"
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            print(f"archiving the classes of Spark {version} for the tests' JVMs (a minute, once)", file=sys.stderr)
            _make(path, home, flags)
    return f"-XX:SharedArchiveFile={path} -Xlog:cds=off -Xlog:class+path=off"


def _make(path: pathlib.Path, home: pathlib.Path, flags: str) -> None:
    for old in path.parent.glob(f"{path.name.rpartition('-')[0]}-*"):
        old.unlink()
    new = path.with_suffix(".new")
    java = f"spark.driver.extraJavaOptions={flags} -XX:ArchiveClassesAtExit={new}"
    words = ["--master", "local[2]", "--conf", "spark.ui.enabled=false", "--conf", java]
    python = str(home / "bin/python")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_", "PYTHON"))}
    env |= {"PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python, "SPARK_LOCAL_IP": "127.0.0.1"}
    (job := path.with_suffix(".py")).write_text(JOB)
    done = subprocess.run(
        [str(home / "bin/spark-submit"), *words, str(job)],
        env=env,
        cwd=path.parent,
        text=True,
        capture_output=True,
    )
    job.unlink()
    if done.returncode or not new.exists():
        raise RuntimeError(f"no archive of Spark's classes was made:\n{(done.stdout + done.stderr)[-3000:]}")
    new.rename(path)
