"""What an operator reads of job snapshots: that a function was loaded once, or why it was not."""

from __future__ import annotations

import json
import re

from harness import launch
from harness.launch import DAVY

VERSION = "4.3.0"
LOG = """
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %c{1}: %m%n
logger.runtime.name = davy.DavyRuntime
logger.runtime.level = info
"""
JOB = """
import json, sys, time
from pyspark.sql import SparkSession

class Model:
    def __init__(self, then):
        self.then = then
    def __getstate__(self):
        return self.then
    def __setstate__(self, then):
        import os, random, sys
        time.sleep(0.15)
        exec(then)

spark = SparkSession.builder.getOrCreate()
for number, (then, size) in enumerate(json.loads(sys.argv[1])):
    print("LOADING", number, file=sys.stderr, flush=True)
    model, table = Model(then), spark.sparkContext.broadcast(bytes(size))
    parts = spark.sparkContext.parallelize(range(6), 6).map(lambda i: (model is not None, len(table.value)))
    assert set(parts.collect()) == {(True, size)}
time.sleep(1.5)  # the sink's turn
print("LOADING all", file=sys.stderr, flush=True)
spark.stop()
"""
KEPT = "keeps a task's loaded function and broadcasts for later tasks"
LOADED = "loads a task's function in each sandbox: "
# What loading does, bytes of a broadcast, what the log says.
CASES = [
    ("pass", 10, KEPT),
    ("self.rows = [{}] * 9", 6 << 20, KEPT),
    ("print('hello')", 10, LOADED + "it prints or changes files while it is loaded"),
    ("open('/tmp/mark', 'a').close()", 10, LOADED + "it fails when it is loaded"),
    (
        "import json; self.file = open(json.__file__)",
        10,
        LOADED + "it holds an open file (/usr/local/lib/python3.11/json/__init__.py)",
    ),
    ("self.rows = (n for n in 'ab'); next(self.rows)", 10, LOADED + "it holds a generator that has begun (<genexpr>)"),
    ("self.random = random.Random(3)", 10, LOADED + "it holds a generator of random numbers"),
    ("random.random()", 10, LOADED + "it changes the random numbers of Python while it is loaded"),
    ("os.environ['A'] = 'b'", 10, LOADED + "it changes the environment while it is loaded"),
    ("os.chdir('/usr/local')", 10, LOADED + "it changes the working directory while it is loaded"),
    ("sys.path.append('/a')", 10, LOADED + "it changes the search path of modules while it is loaded"),
    ("import json.tool", 10, KEPT),
    (
        "sys.path.append('{folder}'); import own; sys.path.pop()",
        10,
        LOADED + "it imports own from {folder}/own.py, which may change",
    ),
]


def run(folder, **conf):
    """What the log says of each case."""
    (folder / "log4j2.properties").write_text(LOG)
    java = f"{launch.short_lived(VERSION)} -Dlog4j2.configurationFile={folder}/log4j2.properties"
    settings = {"spark.driver.extraJavaOptions": java, "spark.log.level": None, "spark.davy.grant.read": str(folder)}
    (folder / "gauges").mkdir()
    settings |= {
        "spark.metrics.conf.*.sink.csv.class": "org.apache.spark.metrics.sink.CsvSink",
        "spark.metrics.conf.*.sink.csv.directory": f"{folder}/gauges",
        "spark.metrics.conf.*.sink.csv.period": "1",
    } | conf
    (folder / "own.py").write_text("VALUE = 1\n")
    env = launch.environment(VERSION, DAVY, "local[2]", settings, extra=launch.QUICK_ENV)
    (folder / "job.py").write_text(JOB)
    argv = [
        str(launch.venv(f"spark-{VERSION}") / "bin/python"),
        "job.py",
        json.dumps([(then.replace("{folder}", str(folder)), size) for then, size, _ in CASES]),
    ]
    done = launch.run_program(argv, env, folder / "log.txt", 300)
    assert "LOADING all" in done.log, done.log[-3000:]
    return [re.findall("DavyRuntime: Davy (.*)", part) for part in done.log.split("LOADING ")[1:-1]]


def test_the_log_tells_what_was_shared(tmp_path):
    said = run(tmp_path)
    for (then, _, expected), found in zip(CASES, said, strict=True):
        assert found == [expected.replace("{folder}", str(tmp_path))], then

    # Each of a case's six tasks has the reason, whichever of them asked.
    tasks = {"openFiles": 1, "generators": 1, "randomNumbers": 2, "prints": 1, "environment": 3, "other": 2}
    assert refused(tmp_path) == {name: 6 * cases for name, cases in tasks.items()}


def refused(folder):
    """What the gauges have come to, by class of reason."""
    files = (folder / "gauges").glob("*plugin.davy.DavyPlugin.snapshots.refused.*.csv")
    return {file.stem.split(".refused.")[1]: int(file.read_text().splitlines()[-1].split(",")[1]) for file in files}


def test_switched_off(tmp_path):
    assert not any(run(tmp_path, **{"spark.davy.snapshot.job": "false"}))
    assert set(refused(tmp_path).values()) == {0}
