"""Streams: functions in every place of a streaming query, sources and sinks written in Python."""

import contextlib
import json
import os

import pandas as pd
from pyspark.sql.datasource import (
    DataSource,
    DataSourceStreamReader,
    DataSourceStreamWriter,
    InputPartition,
    SimpleDataSourceStreamReader,
    WriterCommitMessage,
)
from pyspark.sql.functions import pandas_udf, udf

from cases.files import Folder
from harness.registry import NOTES, case

BATCHES = ([("a", 1), ("b", 2), ("a", 3)], [("b", 4), ("é", 5)], [("a", 6), ("é", None), ("c", 7)])


@contextlib.contextmanager
def stream(spark, batches=BATCHES):
    """A stream of files, one file a batch."""
    with Folder() as folder:
        for i, rows in enumerate(batches):
            lines = [json.dumps({"k": k, "n": n, "t": f"2024-01-01T00:{10 * i:02d}:00"}) for k, n in rows]
            path = folder.write(f"{i}.json", "\n".join(lines))
            os.utime(path, (1_700_000_000 + i, 1_700_000_000 + i))
        reader = spark.readStream.schema("k string, n long, t timestamp").option("maxFilesPerTrigger", 1)
        yield reader.json(folder.path)


def ended(query):
    try:
        if not query.awaitTermination(60):
            raise TimeoutError("the query does not end")
    finally:
        query.stop()


def table(spark, frame, mode="append"):
    """The rows that the stream leaves in memory, sorted."""
    name = "streamed"
    ended(frame.writeStream.format("memory").queryName(name).outputMode(mode).trigger(availableNow=True).start())
    return sorted(spark.table(name).collect(), key=str)


@case("streaming")
def udfs_of_each_kind(spark):
    pickled = udf(lambda n: None if n is None else n + 1, "long", useArrow=False)
    arrow = udf(lambda k: k.upper(), "string", useArrow=True)
    pandas = pandas_udf(lambda s: s * 2, "double")
    with stream(spark) as frame:
        return table(spark, frame.select("k", pickled("n"), arrow("k"), pandas("n")))


@case("streaming")
def batches_mapped(spark):
    def large(frames):
        for f in frames:
            yield f[f.n > 2][["k", "n"]]

    with stream(spark) as frame:
        return [
            table(spark, frame.mapInPandas(large, "k string, n long")),
            table(spark, frame.select("k").mapInArrow(lambda batches: batches, "k string")),
        ]


@case("streaming")
def a_function_for_each_batch(spark):
    seen = []
    inc = udf(lambda n: None if n is None else n + 1, "long", useArrow=False)

    def take(frame, number):
        total = frame.groupBy("k").applyInPandas(
            lambda f: pd.DataFrame({"k": f.k[:1], "s": [f.n.sum()]}), "k string, s double"
        )
        seen.append((number, sorted(frame.select("k", inc("n")).collect(), key=str), sorted(total.collect())))

    with stream(spark) as frame:
        ended(frame.writeStream.foreachBatch(take).trigger(availableNow=True).start())
    return seen


@case("streaming")
def a_writer_for_each_row(spark):
    total, opened, closed = (spark.sparkContext.accumulator(0) for _ in range(3))

    class Writer:
        def open(self, partition, epoch):
            opened.add(1)
            return epoch != 1

        def process(self, row):
            total.add(row.n or 0)

        def close(self, error):
            closed.add(error is None)

    with stream(spark) as frame:
        ended(frame.writeStream.foreach(Writer()).trigger(availableNow=True).start())
    return [total.value, opened.value == closed.value, opened.value > 0]


@case("streaming")
def aggregates_beside_functions(spark):
    with stream(spark) as frame:
        key = udf(lambda k: k.upper(), "string", useArrow=True)
        return table(spark, frame.groupBy(key("k").alias("K")).agg({"n": "sum"}), "complete")


def _counted(key, frames, state):
    rows, total = state.getOption or (0, 0)
    for f in frames:
        rows, total = rows + len(f), total + int(f.n.sum())
    state.update((rows, total))
    yield pd.DataFrame({"k": [key[0]], "rows": [rows], "total": [total]})


@case("streaming")
def state_in_pandas(spark):
    with stream(spark) as frame:
        counted = frame.groupBy("k").applyInPandasWithState(
            _counted, "k string, rows long, total long", "rows long, total long", "update", "NoTimeout"
        )
        return table(spark, counted, "update")


@case("streaming")
def state_that_times_out(spark):
    def watched(key, frames, state):
        if state.hasTimedOut:
            kept = state.get[0]
            state.remove()
            yield pd.DataFrame({"k": [key[0]], "what": [f"out {kept}"]})
        else:
            rows = sum(len(f) for f in frames) + (state.get[0] if state.exists else 0)
            state.update((rows,))
            state.setTimeoutTimestamp(state.getCurrentWatermarkMs() + 300_000)
            yield pd.DataFrame({"k": [key[0]], "what": [f"in {rows}"]})

    with stream(spark) as frame:
        by = frame.withWatermark("t", "1 minute").groupBy("k")
        return table(
            spark,
            by.applyInPandasWithState(watched, "k string, what string", "rows long", "append", "EventTimeTimeout"),
        )


@case("streaming")
def state_of_several_types(spark):
    """What a group keeps, through the state store and back."""

    def kept(key, frames, state):
        before = repr(state.getOption)
        rows = sum(len(f) for f in frames)
        state.update((f"é{rows}", rows / 4, rows > 1, pd.Timestamp("2024-02-29 12:00").to_pydatetime(), None))
        yield pd.DataFrame({"t": [f"{key!r} {before}"]})

    kind = "s string, d double, b boolean, t timestamp, n int"
    with stream(spark) as frame:
        by = frame.groupBy("k")
        return table(spark, by.applyInPandasWithState(kept, "t string", kind, "append", "NoTimeout"))


@case("streaming")
def errors_end_the_query(spark):
    def fails(n):
        raise ValueError(f"nö {n}")

    def state_fails(key, frames, state):
        raise KeyError(key[0])
        yield

    def wrong(key, frames, state):
        yield pd.DataFrame({"x": [1]})

    found = []
    with stream(spark, [[("a", 1)]]) as frame:
        by = frame.groupBy("k")
        state = lambda f: by.applyInPandasWithState(f, "k string", "n long", "append", "NoTimeout")
        for make in (
            lambda: frame.select(udf(fails, "long", useArrow=True)("n")),
            lambda: state(state_fails),
            lambda: state(wrong),
        ):
            try:
                found.append(table(spark, make()))
            except Exception as e:
                text = str(e)
                marks = ("ValueError: nö 1", "KeyError: 'a'", "RESULT_COLUMN", "in fails", "in state_fails")
                found.append([type(e).__name__, *(m for m in marks if m in text)])
    return found


@case("streaming")
def a_batch_function_that_fails(spark):
    def take(frame, number):
        raise ValueError(f"batch {number} nö")

    with stream(spark) as frame:
        try:
            ended(frame.writeStream.foreachBatch(take).trigger(availableNow=True).start())
        except Exception as e:
            return [type(e).__name__, "ValueError: batch 0 nö" in str(e)]


class Span(InputPartition):
    def __init__(self, start, end):
        self.start, self.end = start, end


class Ticks(DataSourceStreamReader):
    """Six numbers, three a batch, two partitions a batch."""

    def initialOffset(self):
        return {"at": 0}

    def latestOffset(self, *_):
        self.at = min(getattr(self, "at", 0) + 3, 6)
        return {"at": self.at}

    def partitions(self, start, end):
        middle = start["at"] + 1
        return [Span(start["at"], middle), Span(middle, end["at"])]

    def read(self, partition):
        for i in range(partition.start, partition.end):
            yield i, f"é{i}"

    def commit(self, end):
        pass


class Simple(SimpleDataSourceStreamReader):
    def initialOffset(self):
        return {"at": 0}

    def read(self, start):
        end = min(start["at"] + 2, 5)
        return iter([(i, "simple") for i in range(start["at"], end)]), {"at": end}

    def readBetweenOffsets(self, start, end):
        return iter([(i, "simple") for i in range(start["at"], end["at"])])

    def commit(self, end):
        pass


class Failing(Ticks):
    def read(self, partition):
        yield 1, "a"
        raise ValueError("nö")


def _source(name, **methods):
    class Source(DataSource):
        @classmethod
        def name(cls):
            return name

        def schema(self):
            return "n long, s string"

    for key, method in methods.items():
        setattr(Source, key, method)
    return Source


def _read(spark, source):
    spark.dataSource.register(source)
    frame = spark.readStream.format(source.name()).load()
    query = frame.writeStream.format("memory").queryName("from_python").start()
    try:
        query.processAllAvailable()
    finally:
        query.stop()
    return sorted(spark.table("from_python").collect())


@case("streaming")
def a_source_in_python(spark):
    return [
        _read(spark, _source("ticks", streamReader=lambda self, schema: Ticks())),
        _read(spark, _source("simple_ticks", simpleStreamReader=lambda self, schema: Simple())),
    ]


@case("streaming")
def a_source_that_fails(spark):
    try:
        return _read(spark, _source("failing_ticks", streamReader=lambda self, schema: Failing()))
    except Exception as e:
        return [type(e).__name__, "ValueError: nö" in str(e)]


class Written(WriterCommitMessage):
    def __init__(self, rows):
        self.rows = rows


class Sink(DataSourceStreamWriter):
    def __init__(self, path):
        self.path = path

    def write(self, iterator):
        return Written(sorted(row.k for row in iterator))

    def commit(self, messages, batchId):
        with open(self.path, "a", encoding="utf-8") as out:
            out.write(f"{batchId} {sorted(k for m in messages if m for k in m.rows)}\n")

    def abort(self, messages, batchId):
        with open(self.path, "a", encoding="utf-8") as out:
            out.write(f"abort {batchId}\n")


@case("streaming")
def a_sink_in_python(spark):
    spark.dataSource.register(
        _source("python_sink", streamWriter=lambda self, schema, overwrite: Sink(self.options["log"]))
    )
    with stream(spark) as frame, Folder(spark.conf.get(NOTES)) as folder:
        log = os.path.join(folder.path, "log")
        out = (
            frame.writeStream.format("python_sink").option("log", log).option("checkpointLocation", folder.path + "/c")
        )
        ended(out.trigger(availableNow=True).start())
        with open(log, encoding="utf-8") as text:
            return text.read()
