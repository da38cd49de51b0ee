"""The table of cases: `@case` puts a function into it.

A case is `def name(spark)` and returns any value, or raises: both are outcomes,
and what stock PySpark does is the expected one.  Its `group` names the Spark
settings it runs under; cases of one group share a session.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

# A folder that cases may write in; stock ignores the setting.
NOTES = "spark.davy.grant.write"

GROUPS: dict[str, dict[str, str]] = {
    "default": {},
    "no_reuse": {"spark.python.worker.reuse": "false"},
    "no_aqe": {"spark.sql.adaptive.enabled": "false", "spark.sql.shuffle.partitions": "3"},
    "spill": {
        "spark.python.worker.memory": "1m",
        "spark.sql.shuffle.partitions": "3",
    },
    "archive": {"spark.archives": "{archive}#toolbox"},
    # Only with Davy: every limit set low enough to be met within seconds.
    "limited": {
        "spark.davy.memory": "192m",
        "spark.davy.outputBytes": "8m",
        "spark.davy.scratchBytes": "64m",
    },
    # All that a sandbox can have.
    "all_memory": {"spark.davy.memory": "4194240k"},
    "deadline": {"spark.davy.deadline": "4s", "spark.davy.memory": "192m", "spark.davy.outputBytes": "8m"},
    "call_deadline": {
        "spark.davy.deadline": "0",
        "spark.davy.deadline.call": "2s",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
    },
    "cpu": {"spark.davy.cpuTime": "2s"},
    # Call-backs through network ports, as before Spark 4.1.
    "ports": {"spark.python.unix.domain.socket.enabled": "false"},
    "pipelined": {"spark.python.udf.pipelined.enabled": "true"},
    "encrypted": {"spark.io.encryption.enabled": "true"},
    "retry": {"spark.task.maxFailures": "3"},
    # Less than the rows of a task: they are sorted, and spilled.
    "little_memory": {"spark.memory.fraction": "0.01", "spark.sql.shuffle.partitions": "1"},
    "speculation": {
        "spark.speculation": "true",
        "spark.speculation.interval": "50ms",
        "spark.speculation.minTaskRuntime": "200ms",
        "spark.speculation.multiplier": "1.2",
        "spark.speculation.quantile": "0.5",
    },
    # Every Arrow stream has several batches, and groups do not end where batches do.
    "small_batches": {"spark.sql.execution.arrow.maxRecordsPerBatch": "3"},
    "arrow_cache": {
        "spark.sql.cache.serializer": "org.apache.spark.sql.execution.columnar.ArrowCachedBatchSerializer",
    },
    "legacy_arrow": {
        "spark.sql.legacy.execution.pythonUDF.pandas.conversion.enabled": "true",
        "spark.sql.legacy.execution.pythonUDTF.pandas.conversion.enabled": "true",
    },
    # A barrier stage that does not fit is refused at once, not after ten minutes.
    "barrier": {
        "spark.scheduler.barrier.maxConcurrentTasksCheck.maxFailures": "1",
        "spark.scheduler.barrier.maxConcurrentTasksCheck.interval": "1s",
    },
    "pandas_on_spark": {"spark.sql.ansi.enabled": "false", "spark.sql.execution.arrow.pyspark.enabled": "true"},
    "streaming": {
        "spark.sql.streaming.stateStore.providerClass": "org.apache.spark.sql.execution.streaming.state."
        "RocksDBStateStoreProvider",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.streaming.metricsEnabled": "false",
        NOTES: "{notes}",
    },
    # What a sink written in Python commits goes to a file.
    "sink": {NOTES: "{notes}"},
    # A session far from UTC; the process environment's TZ is set with it
    # (and stays, so this is the last group).
    "berlin": {"spark.sql.session.timeZone": "America/New_York", "spark.executorEnv.TZ": "Europe/Berlin"},
}

# Plain Python and pickled functions.
PLAIN_MODULES = (
    "rdd",
    "rdd_placement",
    "rdd_edges",
    "shared_state",
    "job_snapshot",
    "files",
    "packages",
    "types_udf",
    "types_wrong",
    "udf_shapes",
    "udtf",
    "errors",
    "logs",
    "lifecycle",
    "cancel",
    "timezones",
)

# Functions of Arrow batches, each by many schemas, settings or kinds of input.
COLUMN_MODULES = (
    "columnar_random",
    "batches_compiled",
    "batch_lengths",
    "left_above",
    "rows_of_results",
    "groups_clustered",
    "grouped_random",
    "window_frames",
    "window_random",
    "arrow_udtf",
    "udtf_random",
    "random_types",
    "columnar_semantics",
    "columnar_plans",
    "columnar_children",
)

# What else needs numpy, pandas or pyarrow in the image.
ARROW_MODULES = (
    "arrow_udf_types",
    "arrow_udf_wrong",
    "pandas_scalar",
    "pandas_grouped",
    "arrow_grouped",
    "pandas_map",
    "numpy_answers",
    "parquet_files",
    "kernels",
    "worker_settings",
    "arrow_scalar",
    "datasource",
    "types_rows",
    "types_values",
    "rdd_barrier",
    "ml_cases",
    "models",
    "pandas_on_spark",
    "pandas_plots",
    "streaming",
    "streaming_io",
    "stateful",
    "state_kinds",
    "state_types",
)

# Each part runs in a process of its own, the longest first.
PARTS = {"columns": COLUMN_MODULES, "arrow": ARROW_MODULES, "plain": PLAIN_MODULES}
MODULES = PLAIN_MODULES + COLUMN_MODULES + ARROW_MODULES

# What only Davy does; stock has no outcome to compare with.
DAVY_MODULES = (
    "refused",
    "brought_along",
    "kernels_refused",
    "hostile",
    "columnar",
    "columnar_nodes",
    "lying_streams",
)


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    run: Callable
    group: str
    since: tuple[int, ...]
    cluster: bool
    seconds: int
    differs: str | None
    markers: bool


CASES: dict[str, Case] = {}

# Seconds after which a case counts as hung. On a slow machine one took more than 120 and went on.
LONG_ENOUGH = 300


def case(*groups, since="4.0", cluster=False, seconds=LONG_ENOUGH, differs=None, markers=False, name=None):
    """Registers a case once per group.

    `since`: the first Spark version that has what it uses.  `cluster`: it also
    runs on a standalone cluster.  `differs`: the reason why Davy's outcome is
    allowed to differ from stock's (then only that it has one is compared).
    `markers`: the lines with `MARK` it leaves in the executor's log count too.
    """

    def register(run):
        base = f"{run.__module__.rsplit('.', 1)[-1]}.{name or run.__name__}"
        for group in groups or ("default",):
            key = base if group == "default" or len(groups) == 1 else f"{base}@{group}"
            assert key not in CASES, key
            version = tuple(int(part) for part in since.split("."))
            CASES[key] = Case(key, run, group, version, cluster, seconds, differs, markers)
        return run

    return register


def module_of(name: str) -> str:
    """The module of a case, by the case's name."""
    return name.partition(".")[0]


def load(modules=MODULES) -> dict[str, Case]:
    """Imports the modules and returns the cases they registered."""
    for module in modules:
        importlib.import_module(f"cases.{module}")
    return {name: c for name, c in CASES.items() if module_of(name) in modules}


def names(version: str, modules=MODULES) -> list[str]:
    """The cases that this Spark can run."""
    number = tuple(int(part) for part in version.split(".")[:2])
    return [name for name, c in load(modules).items() if c.since <= number]
