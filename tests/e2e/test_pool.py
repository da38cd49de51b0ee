"""More tasks at once than idle sandboxes are kept: each has its own."""

from __future__ import annotations

import json

import pytest

from harness import launch
from harness.launch import DAVY

VERSION = "4.3.0"
JOB = """
import json
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext

def work(part, rows):
    import builtins, os, time
    seen = [name for name, there in (
        ("builtins", hasattr(builtins, "davy_secret")), ("/tmp", os.path.exists("/tmp/secret"))) if there]
    builtins.davy_secret = part
    with open("/tmp/secret", "w") as file:
        file.write(str(part))
    time.sleep(0.1)
    return [(sum(rows), open("/tmp/secret").read() == str(part) and builtins.davy_secret == part, seen)]

found = []
for _ in range(3):
    found += sc.parallelize(range(64), 16).mapPartitionsWithIndex(work).collect()
print("RESULT " + json.dumps(found), flush=True)
spark.stop()
"""


@pytest.mark.parametrize("reuse", ["true", "false"])
def test_four_tasks_at_once_and_one_idle_place(tmp_path, reuse):
    conf = {"spark.python.factory.idleWorkerMaxPoolSize": "1", "spark.python.worker.reuse": reuse}
    env = launch.environment(VERSION, DAVY, "local[4]", launch.quick_conf(VERSION) | conf, extra=launch.QUICK_ENV)
    (tmp_path / "job.py").write_text(JOB)
    argv = [str(launch.venv(f"spark-{VERSION}") / "bin/python"), "job.py"]
    done = launch.run_program(argv, env, tmp_path / "log.txt", 240)
    lines = [line[7:] for line in done.log.splitlines() if line.startswith("RESULT ")]
    assert lines, done.log[-4000:]
    found = json.loads(lines[0])
    assert [result for result, _, _ in found] == [16 * n + 6 for n in range(16)] * 3
    assert all(own for _, own, _ in found), "no task saw another's write while it ran"
    seen = {place for _, _, places in found for place in places}
    # A reused worker has what the task before left, as stock's has; a fresh one has nothing.
    assert seen == ({"builtins", "/tmp"} if reuse == "true" else set())
