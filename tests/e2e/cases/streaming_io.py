"""Streaming sources and sinks in Python: aborts, Arrow, admission, and what is read again after a failure."""

import json
import os
import re

import pyarrow as pa
from pyspark.sql.datasource import (
    DataSource,
    DataSourceStreamReader,
    DataSourceStreamWriter,
    InputPartition,
    SimpleDataSourceStreamReader,
    WriterCommitMessage,
)

from cases.files import Folder
from cases.streaming import BATCHES, ended, stream
from harness.registry import NOTES, case


class Texts(WriterCommitMessage):
    def __init__(self, texts):
        self.texts = texts


class Noted(DataSourceStreamWriter):
    """Notes on the driver's machine what was committed and what was aborted."""

    def __init__(self, path):
        self.path = path

    def write(self, iterator):
        rows = []
        for row in iterator:
            if row.k == "é":
                raise ValueError("nö")
            rows.append(repr(row))
        return Texts(sorted(rows))

    def note(self, what, messages, batch):
        with open(self.path, "a", encoding="utf-8") as out:
            texts = sorted(t for m in messages if m is not None for t in m.texts)
            out.write(f"{what} {batch} {len(messages)} {texts}\n")

    def commit(self, messages, batchId):
        self.note("commit", messages, batchId)

    def abort(self, messages, batchId):
        self.note("abort", messages, batchId)


class Uncommitted(Noted):
    def write(self, iterator):
        return Texts([row.k for row in iterator])

    def commit(self, messages, batchId):
        if batchId == 1:
            raise RuntimeError("not committed")
        super().commit(messages, batchId)


class Silent(Noted):
    def write(self, iterator):
        for _ in iterator:
            pass


class Wrong(Noted):
    def write(self, iterator):
        return "text"


def sink(spark, writer, batches=BATCHES):
    """What the writer noted, and how the query ended."""

    class Sink(DataSource):
        @classmethod
        def name(cls):
            return "noting_sink"

        def streamWriter(self, schema, overwrite):
            return writer(self.options["log"])

    spark.dataSource.register(Sink)
    with stream(spark, batches) as frame, Folder(spark.conf.get(NOTES)) as folder:
        log = os.path.join(folder.path, "log")
        out = frame.drop("t").writeStream.format("noting_sink").option("log", log)
        end = "ended"
        try:
            ended(out.option("checkpointLocation", folder.path + "/c").trigger(availableNow=True).start())
        except Exception as e:
            marks = ("ValueError: nö", "RuntimeError: not committed", "DATA_SOURCE_TYPE_MISMATCH")
            end = [type(e).__name__, *(m for m in marks if m in str(e))]
        text = open(log, encoding="utf-8").read() if os.path.exists(log) else None
        return text, end


@case("streaming")
def sinks(spark):
    return {writer.__name__: sink(spark, writer) for writer in (Noted, Uncommitted, Silent, Wrong)}


@case("streaming", since="4.1")
def sink_of_batches(spark):
    from pyspark.sql.datasource import DataSourceStreamArrowWriter

    class Batches(Noted, DataSourceStreamArrowWriter):
        def write(self, iterator):
            return Texts([f"{b.schema.types} {b.to_pylist()}" for b in iterator])

    class Failing(Batches):
        def write(self, iterator):
            for batch in iterator:
                if None in batch.column("n").to_pylist():
                    raise ValueError("nö")
            return Texts([])

    return [sink(spark, Batches), sink(spark, Failing)]


def source(name, **methods):
    class Source(DataSource):
        @classmethod
        def name(cls):
            return name

        def schema(self):
            return "n long, s string"

    for key, method in methods.items():
        setattr(Source, key, method)
    return Source


def batches_of(spark, made, trigger, folder, fail_at=None):
    """The rows of each batch, in order; the query fails at one of them."""
    spark.dataSource.register(made)
    seen = []

    def take(frame, number):
        rows = sorted(map(tuple, frame.collect()), key=str)
        if number == fail_at:
            raise ValueError(f"failed with {rows}")
        seen.append((number, rows))

    out = spark.readStream.format(made.name()).load().writeStream.foreachBatch(take)
    out = out.option("checkpointLocation", folder.path + "/c")
    query = (out.trigger(**trigger) if trigger else out).start()
    try:
        if "availableNow" in trigger:
            ended(query)
        else:
            query.processAllAvailable()
    except Exception as e:
        seen.append(
            [type(e).__name__, *re.findall(r"ValueError: failed with .*\]|RESULT_COLUMN\w+|\w+MISMATCH\w*", str(e))]
        )
    finally:
        query.stop()
    return seen, query


class Counting(SimpleDataSourceStreamReader):
    """Two numbers a batch, up to five."""

    def initialOffset(self):
        return {"at": 0, "deep": {"closed": False, "name": "é"}}

    def read(self, start):
        end = min(start["at"] + 2, 5)
        return iter([(i, "first") for i in range(start["at"], end)]), {**start, "at": end}

    def readBetweenOffsets(self, start, end):
        return iter([(i, f"again {end['deep']}") for i in range(start["at"], end["at"])])

    def commit(self, end):
        pass


@case("streaming")
def read_again_after_a_failure(spark):
    """The batch that failed is read by its offsets, those after it as at first."""
    made = source("counting", simpleStreamReader=lambda self, schema: Counting())
    with Folder() as folder:
        first, _ = batches_of(spark, made, {}, folder, fail_at=1)
        return [first, batches_of(spark, made, {}, folder)[0]]


class Part(InputPartition):
    def __init__(self, *numbers):
        self.numbers = numbers


class Arrow(DataSourceStreamReader):
    """Arrow batches, one of them without a row, in two partitions, one of which has none."""

    def initialOffset(self):
        return {"at": 0}

    def latestOffset(self, *_):
        self.at = min(getattr(self, "at", 0) + 4, 8)
        return {"at": self.at}

    def partitions(self, start, end):
        return [Part(*range(start["at"], end["at"])), Part()]

    def read(self, partition):
        for n in partition.numbers:
            yield pa.RecordBatch.from_pydict({"n": pa.array([n, None]), "s": pa.array([f"é{n}", None])})
            yield pa.RecordBatch.from_pydict({"n": pa.array([], "i8"), "s": pa.array([], "string")})


class WrongArrow(Arrow):
    def read(self, partition):
        yield pa.RecordBatch.from_pydict({"x": [1]})


@case("streaming")
def source_of_batches(spark):
    found = []
    for reader in (Arrow, WrongArrow):
        made = source("arrow_ticks", streamReader=lambda self, schema: reader())
        with Folder() as folder:
            found.append(batches_of(spark, made, {}, folder)[0])
    return found


def _admitting(limit, available):
    """A reader that has seven numbers and hears how many it may give."""
    from pyspark.sql.streaming.datasource import ReadAllAvailable, ReadMaxRows, SupportsTriggerAvailableNow

    class Admitting(DataSourceStreamReader):
        def initialOffset(self):
            return {"at": 0}

        def getDefaultReadLimit(self):
            return ReadMaxRows(limit) if limit else ReadAllAvailable()

        def latestOffset(self, start, limit):
            most = limit.max_rows if isinstance(limit, ReadMaxRows) else 100
            return {"at": min(start["at"] + most, getattr(self, "target", 7))}

        def reportLatestOffset(self):
            return {"at": 7, "é": True}

        def partitions(self, start, end):
            return [Part(*range(start["at"], end["at"]))] if end["at"] > start["at"] else []

        def read(self, partition):
            yield from ((n, "é") for n in partition.numbers)

    class ToATarget(Admitting, SupportsTriggerAvailableNow):
        def prepareForTriggerAvailableNow(self):
            self.target = 5

    return (ToATarget if available else Admitting)()


@case("streaming", since="4.2")
def admission(spark):
    found = []
    for limit, available, trigger in (
        (3, True, {"availableNow": True}), (3, False, {"availableNow": True}), (3, False, {}), (None, True, {}),
        (None, False, {}),
    ):  # fmt: skip
        made = source("admitting", streamReader=lambda self, schema: _admitting(limit, available))
        with Folder() as folder:
            seen, query = batches_of(spark, made, trigger, folder)
        ends = [
            (s.startOffset, s.endOffset, s.latestOffset, s.numInputRows) for p in query.recentProgress
            for s in p.sources if s.numInputRows
        ]  # fmt: skip
        found.append((seen, [[x if isinstance(x, int) or x is None else json.loads(x) for x in end] for end in ends]))
    return found


@case("streaming", since="4.2")
def simple_source_to_a_target(spark):
    from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow

    class Target(Counting, SupportsTriggerAvailableNow):
        most = 5

        def prepareForTriggerAvailableNow(self):
            self.most = 3

        def read(self, start):
            end = min(start["at"] + 2, self.most)
            return iter([(i, "é") for i in range(start["at"], end)]), {**start, "at": end}

    made = source("simple_target", simpleStreamReader=lambda self, schema: Target())
    with Folder() as folder:
        return [batches_of(spark, made, trigger, folder)[0] for trigger in ({"availableNow": True}, {})]
