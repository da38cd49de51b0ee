"""`spark-submit --py-files --archives --files`: what a job takes along, as its users name it."""

from __future__ import annotations

import json
import zipfile

import pytest

from harness import launch, toolbox
from harness.cluster import standalone
from harness.launch import DAVY, QUICK_ENV, STOCK

VERSION = "4.3.0"
JOB = """
import json, os, sys
from pyspark import SparkFiles
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf, udf
from pyspark.sql.types import LongType, StringType
import tariffs

spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext

def told(part):
    import alone, tariffs
    env = SparkFiles.get("env")
    sys.path.append(f"{env}/lib/python3.11/site-packages")
    import toolbox
    rate = open(SparkFiles.get("rates.json")).read()
    here = [beside("rates.json"), beside("env/none"), os.path.isdir("env"), os.path.isdir("env/lib/python3.11")]
    return [
        tariffs.of(alone.LEAST + sum(part)), toolbox.treble(5), json.loads(rate)["é"], sorted(os.listdir(env)), here
    ]

def beside(name):
    # Of a task's working folder. On a cluster, what the job took along is there.
    try:
        return open(name).read()
    except FileNotFoundError:
        return "not there"

@pandas_udf(LongType())
def taxed(v):
    import tariffs
    return v.map(tariffs.of)

@udf(StringType(), useArrow=True)
def named(n):
    import alone
    return f"{alone.NAME} {n}"

numbers = spark.range(0, 6, 1, 2)
print("RESULT " + json.dumps({
    "driver": tariffs.of(1),
    "rdd": sc.parallelize(range(6), 2).mapPartitions(told).collect(),
    "frame": [list(row) for row in numbers.select(taxed("id"), named("id")).collect()],
    "argument": sys.argv[1:],
}), flush=True)
spark.stop()
"""


def submit(mode, master, folder):
    """What the job printed, submitted with a module, a zip of modules, an archive and a file."""
    folder, log = folder / "job", folder / "log.txt"  # beside the programs' working folder, not in it
    folder.mkdir(parents=True)
    (folder / "job.py").write_text(JOB)
    (folder / "alone.py").write_text("LEAST = 7\nNAME = 'n°'\n")
    (folder / "rates.json").write_text('{"é": 4}')
    with zipfile.ZipFile(folder / "tariffs.zip", "w") as file:
        file.writestr("tariffs/__init__.py", "from .rate import RATE\n\ndef of(n):\n    return n * RATE\n")
        file.writestr("tariffs/rate.py", "RATE = 3\n")
    conf = launch.quick_conf(VERSION)
    env = launch.environment(VERSION, mode, master, conf, extra=QUICK_ENV)
    del env["PYSPARK_SUBMIT_ARGS"], env["PYTHONPATH"]
    argv = [
        *(str(launch.venv(f"spark-{VERSION}") / "bin/spark-submit"), *launch.submit_words(mode, master, conf)),
        *("--py-files", f"{folder}/tariffs.zip,{folder}/alone.py", "--files", f"{folder}/rates.json"),
        *("--archives", f"{toolbox.archive(folder)}#env", f"{folder}/job.py", "one", "two words"),
    ]
    done = launch.run_program(argv, env, log, 240)
    lines = [line[7:] for line in done.log.splitlines() if line.startswith("RESULT ")]
    assert done.code == 0 and lines, done.log[-4000:]
    return json.loads(lines[0])


@pytest.mark.parametrize("where", ["local", "cluster"])
def test_what_a_job_takes_along_is_there(where, tmp_path):
    if where == "local":
        found = {mode: submit(mode, "local[2]", tmp_path / mode) for mode in (STOCK, DAVY)}
    else:
        with standalone(VERSION, tmp_path / "cluster", env=QUICK_ENV) as master:
            found = {mode: submit(mode, master, tmp_path / mode) for mode in (STOCK, DAVY)}
    assert found[DAVY] == found[STOCK]
    there = where == "cluster"
    here = ['{"é": 4}' if there else "not there", "not there", there, there]
    assert found[DAVY]["rdd"] == [30, 15, 4, ["lib"], here, 57, 15, 4, ["lib"], here]
