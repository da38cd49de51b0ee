"""One process, one mode: what batches cost by their size, width and text.  Prints a JSON object.  Started by bench.py.

The function gives its batches back as they are, so what is measured is the way there and back.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from pyspark.sql import SparkSession
from turns import Turns

rows, tasks = int(sys.argv[1]), int(sys.argv[2])
spark = SparkSession.builder.getOrCreate()
RECORDS = "spark.sql.execution.arrow.maxRecordsPerBatch"


def identity(batches):
    yield from batches


def throughput(frame, count: int) -> float:
    """M rows/s: median of three runs after one that warms the JVM's code."""
    through, took = frame.mapInArrow(identity, frame.schema), []
    for _ in range(4):
        with turns.next():
            start = time.perf_counter()
            through.write.format("noop").mode("overwrite").save()
            took.append(time.perf_counter() - start)
    return count / statistics.median(took[1:]) / 1e6


def numbers(count: int, columns: int = 1):
    return spark.range(0, count, 1, tasks).selectExpr(*(f"cast(id + {n} as double) as c{n}" for n in range(columns)))


found, turns = {}, Turns()
for records in (1, 100, 10_000, 100_000):
    spark.conf.set(RECORDS, str(records))
    # A task of a second or so, whatever the batches.
    count = min(rows, 10_000 * records)
    found[f"batches of {records:,} rows, M rows/s"] = throughput(numbers(count), count)
spark.conf.set(RECORDS, "10000")
for columns in (1, 10, 100):
    count = rows // columns * 10 if columns > 10 else rows // columns  # enough batches of many columns
    found[f"{columns} columns, M rows/s"] = throughput(numbers(count, columns), count)
for length in (4, 40, 400):
    count = rows * 4 // length
    text = spark.range(0, count, 1, tasks).selectExpr(f"lpad(cast(id as string), {length}, 'x') as s")
    found[f"text of {length} bytes, M rows/s"] = throughput(text, count)
print("RESULT " + json.dumps(found), flush=True)
spark.stop()
