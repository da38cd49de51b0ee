"""Random schemas, data and batch sizes through the node of table functions: rows and Arrow, lateral and of tables.

The schemas and rows are those of `columnar_random`. A case is named by its seed, and an outcome's place says
which of `queries(seed)` it belongs to.
"""

import random

import pyarrow as pa
from pyspark.sql import Row
from pyspark.sql.functions import udtf
from pyspark.sql.types import LongType, StringType, StructField, StructType

from cases.attempts import attempt
from cases.columnar_random import queries
from cases.grouped_random import KEYS
from cases.seeds import seeds
from harness.registry import case

SEEDS = seeds(range(300, 304))


class Repeated:
    """Each row no time, once or twice."""

    seen = False

    def eval(self, n, *values):
        self.seen = True
        for _ in range(n % 3):
            yield values


class Counted:
    """Of each partition: how many rows, and what the first looked like."""

    def __init__(self):
        self.n, self.first = 0, None

    def eval(self, row: Row):
        self.n += 1
        self.first = self.first or f"{row!r}"

    def terminate(self):
        if self.n:  # Spark cannot join a row to a task without rows
            yield self.n, self.first


class CountedBatches:
    def __init__(self):
        self.sizes = []

    def eval(self, batch: pa.RecordBatch):
        self.sizes.append(batch.num_rows)
        yield pa.table({"n": pa.array([batch.num_rows], pa.int64()), "t": [f"{batch.schema.types}"]})

    def terminate(self):
        if self.sizes:
            yield pa.table({"n": pa.array([sum(self.sizes)], pa.int64()), "t": ["end"]})


def _outcomes(spark, r, schema, rows, size):
    from pyspark.sql.functions import arrow_udtf

    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", size)
    names = schema.names
    keyed = [(r.choice(KEYS), n, *row) for n, row in enumerate(rows)]
    whole = StructType([StructField("k", StringType()), StructField("n", LongType()), *schema])
    frame = spark.createDataFrame(keyed, whole, verifySchema=False)
    frame.coalesce(1).createOrReplaceTempView("one_task")
    # Sorted: a row of `terminate` stands beside the last row of its task.
    frame.repartition(5, "n").sortWithinPartitions("n").createOrReplaceTempView("some_tasks")

    width = len(names)

    class Same(Repeated):
        def terminate(self):
            if self.seen:
                yield (None,) * width

    spark.udtf.register("same", udtf(Same, returnType=schema, useArrow=True))
    spark.udtf.register("counted", udtf(Counted, returnType="n long, t string", useArrow=True))
    spark.udtf.register("counted_batches", arrow_udtf(CountedBatches, returnType="n long, t string"))
    arguments = ", ".join(f"x.{name}" for name in names)
    for kind in ("", "left "):
        on = " on true" if kind else ""
        text = f"select x.n as place, s.* from one_task x {kind}join lateral same(x.n, {arguments}) s{on}"
        # Sorted: an outer lateral join is a join of shuffled rows.
        yield attempt(lambda text=text: sorted(repr(row) for row in spark.sql(text).collect()))
    text = f"select x.n as place, s.* from some_tasks x, lateral same(x.n, {arguments}) s"
    yield attempt(lambda: sorted(repr(row) for row in spark.sql(text).collect()))
    for function in ("counted", "counted_batches"):
        for how in ("partition by k order by n", "with single partition"):
            table = "select * from one_task order by n" if "single" in how else "select * from some_tasks"
            text = f"select * from {function}(table({table}) {how})"
            yield attempt(lambda text=text: sorted(repr(row) for row in spark.sql(text).collect()))


def _of(seed):
    def run(spark):
        r = random.Random(seed)
        try:
            return [list(_outcomes(spark, r, *query)) for query in list(queries(seed))[:5]]
        finally:
            spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")

    case("no_aqe", since="4.1", seconds=300, name=f"seed_{seed}")(run)


for _seed in SEEDS:
    _of(_seed)
