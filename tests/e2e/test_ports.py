"""Spark 4.0 serves call-backs at ports: a sandbox reaches those of its own task, no other's and no earlier's."""

from __future__ import annotations

import json

from harness import launch
from harness.launch import DAVY

VERSION = "4.0.1"
JOB = """
import json
from pyspark import BarrierTaskContext
from pyspark.sql import SparkSession

def ask(port):
    import _davy
    try:
        return len(_davy.gateway(3, b":%d" % port))
    except OSError as e:
        return type(e).__name__

def work(rows):
    context = BarrierTaskContext.get()
    ports = [int(port) for port in context.allGather(str(context._port))]
    found = [ask(port) for port in ports if port != context._port]
    context.barrier()
    return [(context._port, found)]

sc = SparkSession.builder.getOrCreate().sparkContext
ports, others = zip(*sc.parallelize([1, 2], 2).barrier().mapPartitions(work).collect())
later = sc.parallelize([1, 2], 2).map(lambda _: [ask(port) for port in ports]).collect()
print("RESULT " + json.dumps([others, later]))
"""


def test_only_the_tasks_own_ports(tmp_path):
    (tmp_path / "job.py").write_text(JOB)
    env = launch.environment(VERSION, DAVY, "local[2]", launch.quick_conf(VERSION), extra=launch.QUICK_ENV)
    argv = [str(launch.venv(f"spark-{VERSION}") / "bin/python"), "job.py"]
    done = launch.run_program(argv, env, tmp_path / "log.txt", 120)
    lines = [line[7:] for line in done.log.splitlines() if line.startswith("RESULT ")]
    assert lines, done.log[-4000:]
    assert json.loads(lines[0]) == [[["PermissionError"]] * 2, [["PermissionError"] * 2] * 2]
