"""One process, one mode: what batches cost by their size, width and text.  Prints a JSON object.  Started by bench.py.

The function gives its batches back as they are, so what is measured is the way there and back.  The costs of a
batch and of a row are of all tasks together: what fits the four sizes of batches best.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
from pyspark.sql import SparkSession
from turns import Turns

rows, tasks = int(sys.argv[1]), int(sys.argv[2])
spark = SparkSession.builder.getOrCreate()
RUNS = 5
RECORDS = "spark.sql.execution.arrow.maxRecordsPerBatch"


def identity(batches):
    yield from batches


def seconds(frame) -> float:
    """Median of five runs after two that warm the JVM's code."""
    through, took = frame.mapInArrow(identity, frame.schema), []
    for _ in range(2 + RUNS):
        with turns.next():
            start = time.perf_counter()
            through.write.format("noop").mode("overwrite").save()
            took.append(time.perf_counter() - start)
    return statistics.median(took[2:])


def costs(points: list[tuple[int, int, float]]) -> tuple[float, float]:
    """Seconds of a batch and of a row: what fits (batches, rows, seconds) best, each point's error by its own size."""
    batches, rows, took = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    (batch, row), *_ = np.linalg.lstsq(np.stack([batches / took, rows / took], axis=1), np.ones(len(took)))
    return batch, row


def numbers(count: int, columns: int = 1):
    return spark.range(0, count, 1, tasks).selectExpr(*(f"cast(id + {n} as double) as c{n}" for n in range(columns)))


found, turns, points = {}, Turns(), []
for records in (1, 100, 10_000, 100_000):
    spark.conf.set(RECORDS, str(records))
    # A task of a second or so, whatever the batches.
    count = min(rows, 10_000 * records)
    took = seconds(numbers(count))
    found[f"batches of {records:,} rows, M rows/s"] = count / took / 1e6
    points.append((count // records, count, took))
batch, row = costs(points)
found["a batch costs, µs"], found["a row of one double costs, ns"] = batch * 1e6, row * 1e9
spark.conf.set(RECORDS, "10000")
for columns in (1, 10, 100):
    count = rows // columns * 10 if columns > 10 else rows // columns  # enough batches of many columns
    found[f"{columns} columns, M rows/s"] = count / seconds(numbers(count, columns)) / 1e6
for length in (4, 40, 400):
    count = rows * 4 // length
    text = spark.range(0, count, 1, tasks).selectExpr(f"lpad(cast(id as string), {length}, 'x') as s")
    found[f"text of {length} bytes, M rows/s"] = count / seconds(text) / 1e6
print("RESULT " + json.dumps(found), flush=True)
spark.stop()
