"""Data sources written in Python: batch reading and writing."""

import dataclasses
import os
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceReader,
    DataSourceWriter,
    InputPartition,
    WriterCommitMessage,
)

from cases.attempts import attempt, attempts
from cases.files import Folder
from harness.registry import NOTES, case


class Range(InputPartition):
    def __init__(self, start, end):
        self.start, self.end = start, end


class NumbersReader(DataSourceReader):
    def __init__(self, schema, options):
        self.schema, self.options = schema, options

    def partitions(self):
        n, parts = int(self.options.get("n", 7)), int(self.options.get("parts", 3))
        return [Range(n * i // parts, n * (i + 1) // parts) for i in range(parts)]

    def read(self, partition):
        for i in range(partition.start, partition.end):
            yield i, f"é{i}", [i] * (i % 3), {"k": i / 2}


class Numbers(DataSource):
    @classmethod
    def name(cls):
        return "numbers_of_python"

    def schema(self):
        return "n long, s string, a array<long>, m map<string,double>"

    def reader(self, schema):
        return NumbersReader(schema, self.options)


@case("default", "small_batches", "no_aqe")
def read(spark):
    spark.dataSource.register(Numbers)
    load = spark.read.format("numbers_of_python")
    frame = load.load()
    return [
        frame.schema.simpleString(), frame.rdd.getNumPartitions(), frame.collect(),
        load.option("N", 3).option("parts", 1).load().collect(),
        frame.where("n > 2").groupBy("s").count().orderBy("s").collect(),
        frame.select("n").limit(2).collect(), load.option("n", 0).load().count(),
    ]  # fmt: skip


@case()
def in_sql(spark):
    spark.dataSource.register(Numbers)
    spark.sql("create or replace temporary view from_python using numbers_of_python options (n '4', parts '2')")
    return spark.sql("select sum(n), max(s) from from_python").collect()


def _source(reader=None, schema="n long, s string", name="odd", **more):
    """A data source class with what is given."""

    class Odd(DataSource):
        @classmethod
        def name(cls):
            return name

    Odd.schema = schema if callable(schema) else lambda self: schema
    if reader is not None:
        Odd.reader = lambda self, schema: reader
    for key, value in more.items():
        setattr(Odd, key, value)
    return Odd


def _reader(read, partitions=None, **more):
    """A reader of functions; what it reads is what `read` gives for each partition."""

    class Reader(DataSourceReader):
        def read(self, partition):
            return read(partition)

    if partitions is not None:
        Reader.partitions = lambda self: partitions()
    for key, value in more.items():
        setattr(Reader, key, value)
    return Reader()


def _collected(spark, source, **options):
    spark.dataSource.register(source)
    return spark.read.format(source.name()).options(**options).load().collect()


@case()
def arrow_batches(spark):
    def batches(partition):
        for i in range(3):
            yield pa.RecordBatch.from_pydict({"n": pa.array([i, None], "i8"), "s": pa.array([f"é{i}", None])})

    return _collected(spark, _source(_reader(batches)))


@case()
def schema_by_function_and_by_user(spark):
    source = _source(
        _reader(lambda p: iter([(1, "a")])), schema=lambda self: f"n {self.options.get('kind', 'long')}, s string"
    )
    spark.dataSource.register(source)
    load = spark.read.format("odd")
    return attempts({
        "default": lambda: load.load().collect(),
        "option": lambda: load.option("kind", "int").load().dtypes,
        "by user": lambda: load.schema("n int, s string").load().collect(),
        "wrong by user": lambda: load.schema("n date, s string").load().collect(),
    })  # fmt: skip


ROWS = {
    "tuples": lambda: iter([(1, "a")]), "lists": lambda: iter([[1, "a"]]), "short": lambda: iter([(1,)]),
    "types": lambda: iter([("x", 1)]),
    "none": lambda: None, "texts": lambda: iter(["ab"]), "nothing": lambda: iter(()), "list": lambda: [(1, "a")],
    "dicts": lambda: iter([{"n": 1, "s": "a"}]), "numbers": lambda: iter([1]), "not iterable": lambda: 5,
    "wrong batch": lambda: iter([pa.RecordBatch.from_pydict({"x": [1]})]),
}  # fmt: skip


def _rows(name):
    def run(spark):
        return attempt(lambda: _collected(spark, _source(_reader(lambda p: ROWS[name]()))))

    run.__module__ = __name__
    return run


for _name in ROWS:
    case("default", name=f"rows_{_name.replace(' ', '_')}")(_rows(_name))


@case()
def errors_in_each_method(spark):
    def fails(*_):
        raise ValueError("nö")

    def late(partition):
        yield 1, "a"
        raise KeyError("mïssing")

    good = _reader(lambda p: iter([(1, "a")]))
    return attempts({
        "schema": lambda: _collected(spark, _source(good, schema=fails)),
        "schema type": lambda: _collected(spark, _source(good, schema=lambda self: 5)),
        "no schema": lambda: _collected(spark, type("Bare", (DataSource,), {"reader": lambda self, schema: good})),
        "reader": lambda: _collected(spark, _source(reader=None, **{"reader_": 1})),
        "reader type": lambda: _collected(spark, type("Odd", (_source(),), {"reader": lambda self, schema: "text"})),
        "partitions": lambda: _collected(spark, _source(_reader(late, fails))),
        "partitions type": lambda: _collected(spark, _source(_reader(late, lambda: "ab"))),
        "no partitions": lambda: _collected(spark, _source(_reader(late, lambda: []))),
        "read": lambda: _collected(spark, _source(_reader(fails))),
        "late": lambda: _collected(spark, _source(_reader(late))),
        "init": lambda: _collected(spark, type("Odd", (_source(good),), {"__init__": fails})),
    })  # fmt: skip


@case()
def not_registered(spark):
    return attempts({
        "unknown": lambda: spark.read.format("no_such_source").load(),
        "not a class": lambda: spark.dataSource.register(5),
    })  # fmt: skip


@case(since="4.1")
def filters_pushed_down(spark):
    """What the source takes, Spark does not check again; what it leaves, Spark filters."""
    from pyspark.sql.datasource import EqualTo, GreaterThan, StringStartsWith

    class Pushed(DataSourceReader):
        def __init__(self):
            self.taken, self.least = [], 0

        def pushFilters(self, filters):
            for f in filters:
                self.taken.append(repr(f))
                if isinstance(f, GreaterThan) and f.attribute == ("n",):
                    self.least = f.value + 1
                elif not isinstance(f, (EqualTo, StringStartsWith)):
                    yield f

        def read(self, partition):
            for n in range(self.least, 6):
                yield n, " ".join(sorted(self.taken))

    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    try:
        spark.dataSource.register(
            type("Filtered", (_source(name="filtered"),), {"reader": lambda self, schema: Pushed()})
        )
        frame = spark.read.format("filtered").load()
        return [
            frame.where(w).collect()
            for w in (
                "n > 3",
                "n = 1",
                "n > 2 and n < 5",
                "n in (1, 3)",
                "s like 'x%'",
                "n is not null and not (n = 2)",
                "n + 1 > 4",
            )
        ]
    finally:
        spark.conf.unset("spark.sql.python.filterPushdown.enabled")


@dataclasses.dataclass
class Written(WriterCommitMessage):
    rows: int


def _into(writer):
    def run(spark, rows=6, parts=2, mode="append"):
        source = type(
            "Sink", (_source(name="sink"),), {"writer": lambda self, schema, overwrite: writer(self.options, overwrite)}
        )
        spark.dataSource.register(source)
        frame = spark.range(0, rows, 1, parts).selectExpr("id as n", "concat('é', id) as s")
        with Folder(spark.conf.get(NOTES)) as folder:
            log = os.path.join(folder.path, "log")
            outcome = attempt(lambda: frame.write.format("sink").mode(mode).option("log", log).save())
            text = open(log, encoding="utf-8").read() if os.path.exists(log) else None
        return outcome, text

    return run


def _writer(base, write, at_commit=None):
    class Writer(base):
        def __init__(self, options, overwrite):
            self.log, self.overwrite = options["log"], overwrite

        def write(self, iterator):
            return write(iterator)

        def commit(self, messages):
            if at_commit:
                at_commit()
            self.note("commit", messages)

        def abort(self, messages):
            self.note("abort", messages)

        def note(self, what, messages):
            # On the driver's machine, in a folder that is granted to Davy's sandbox.
            with open(self.log, "a", encoding="utf-8") as out:
                out.write(f"{what} {sorted(map(str, messages))} {self.overwrite}\n")

    return Writer


def _counted(iterator):
    return Written(sum(1 for _ in iterator))


def _summed(iterator):
    return Written(sum(row.n for row in iterator if row["s"].startswith("é")))


def _fails_late(iterator):
    for row in iterator:
        if row.n == 4:
            raise ValueError("nö")
    return Written(0)


def _refuses():
    raise RuntimeError("not committed")


def _of_batches(iterator: Iterator[pa.RecordBatch]):
    return Written(sum(batch.num_rows for batch in iterator))


@case("sink")
def write(spark):
    return [
        _into(_writer(DataSourceWriter, _counted))(spark),
        _into(_writer(DataSourceWriter, _summed))(spark, mode="overwrite"),
        _into(_writer(DataSourceWriter, _counted))(spark, rows=0, parts=1),
    ]


@case("sink")
def write_in_arrow(spark):
    return _into(_writer(DataSourceArrowWriter, _of_batches))(spark, rows=8)


@case("sink")
def write_that_fails(spark):
    return {
        "write": _into(_writer(DataSourceWriter, _fails_late))(spark, parts=1),
        "commit": _into(_writer(DataSourceWriter, _counted, _refuses))(spark),
        "message": _into(_writer(DataSourceWriter, lambda it: "text"))(spark),
        "mode": _into(_writer(DataSourceWriter, _counted))(spark, mode="error"),
    }
