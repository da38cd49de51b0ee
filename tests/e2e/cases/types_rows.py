"""Every Spark type through table functions and through sources and sinks written in Python."""

import os
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import Row
from pyspark.sql.datasource import (
    DataSource,
    DataSourceArrowWriter,
    DataSourceReader,
    DataSourceWriter,
    WriterCommitMessage,
)
from pyspark.sql.functions import udtf

from cases.arrow_udf_types import KINDS
from cases.attempts import attempt, attempts
from cases.files import Folder
from harness.registry import NOTES, case

# Together in the columns of one query: a query for each type would be a hundred of them.
TOGETHER = {
    "numbers": ["boolean", "byte", "short", "int", "long", "float", "double", "decimal(10,2)", "decimal(38,18)"],
    "texts_and_times": ["string", "binary", "date", "timestamp", "timestamp_ntz", "interval day to second"],
    "nested": [kind for kind in KINDS if "<" in kind],
    "nothing": ["void"],
}
# What fails, in Arrow or with the older conversion, or what a column may not be.
ALONE = ["char(5)", "varchar(10)", "decimal(38,0)", "decimal(38,38)"]
OLDER = ["byte", "short", "int", "float", "decimal(10,2)"]


def schema_of(kinds):
    return ", ".join(f"c{i} {kind}" for i, kind in enumerate(kinds))


def rows_of(kinds):
    """A row of the first value of each type, of the second, and so on; the last of nulls alone."""
    most = max(len(KINDS[kind]) for kind in kinds)
    return [tuple(KINDS[k][i] if i < len(KINDS[k]) else None for k in kinds) for i in range(most)]


def frame_of(spark, kinds):
    schema = schema_of("string" if "char" in kind else kind for kind in kinds)
    return spark.createDataFrame(rows_of(kinds), schema, verifySchema=False).coalesce(1)


def seen(values):
    return f"{[type(v).__name__ for v in values]} {values!r}"[:2000]


def _through(spark, kinds, arrow):
    """By a lateral join, which gives the columns, and by a table argument, which gives rows."""

    @udtf(returnType=f"{schema_of(kinds)}, seen string", useArrow=arrow)
    class Same:
        def eval(self, *values):
            row = values[0] if isinstance(values[0], Row) and len(values[0]) == len(kinds) else values
            yield (*row, seen(list(row)))

    spark.udtf.register("same_of_types", Same)
    frame_of(spark, kinds).createOrReplaceTempView("of_types")
    columns = ", ".join(f"x.c{i}" for i in range(len(kinds)))
    return attempts({
        "columns": lambda: spark.sql(f"select s.* from of_types x, lateral same_of_types({columns}) s").collect(),
        "rows": lambda: spark.sql("select * from same_of_types(table(of_types) with single partition)").collect(),
    })  # fmt: skip


def _udtf(kinds, arrow):
    def run(spark):
        return _through(spark, kinds, arrow)

    run.__module__ = __name__
    return run


for _name, _kinds in TOGETHER.items():
    case("default", name=f"udtf_{_name}")(_udtf(_kinds, False))
    case("default", name=f"arrow_udtf_{_name}")(_udtf(_kinds, True))
case("legacy_arrow", name="legacy_udtf_nested")(_udtf(TOGETHER["nested"], True))


@case()
def udtf_of_each_alone(spark):
    return {(kind, arrow): _through(spark, [kind], arrow) for kind in ALONE for arrow in (False, True)}


@case("legacy_arrow")
def legacy_udtf_of_each_alone(spark):
    return {kind: _through(spark, [kind], True) for kind in ALONE + OLDER}


@case(since="4.1")
def udtf_of_batches(spark):
    from pyspark.sql.functions import arrow_udtf

    def through(kinds):
        @arrow_udtf(returnType=schema_of(kinds))
        class Same:
            def eval(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
                yield pa.Table.from_batches([batch])

        spark.udtf.register("same_of_batches", Same)
        frame_of(spark, kinds).createOrReplaceTempView("of_types")
        return spark.sql("select * from same_of_batches(table(of_types) with single partition)").collect()

    return attempts({name: lambda kinds=kinds: through(kinds) for name, kinds in TOGETHER.items()})


class Given(DataSource):
    """Reads the rows of the types that its option names, as tuples or as Arrow batches."""

    @classmethod
    def name(cls):
        return "given_types"

    def schema(self):
        return schema_of(TOGETHER[self.options["types"]])

    def reader(self, schema):
        return GivenReader(schema, self.options["types"], self.options.get("arrow"))


class GivenReader(DataSourceReader):
    def __init__(self, schema, types, arrow):
        self.schema, self.types, self.arrow = schema, types, arrow

    def read(self, partition):
        rows = rows_of(TOGETHER[self.types])
        if not self.arrow:
            yield from rows
            return
        columns = [
            pa.array(list(map(_plain, values)), _arrow(f.dataType)) for f, values in zip(self.schema, zip(*rows))
        ]
        yield pa.RecordBatch.from_arrays(columns, self.schema.names)


def _arrow(kind):
    """The Arrow type of a Spark type; its zone is a required argument since 4.2."""
    import inspect

    from pyspark.sql.pandas.types import to_arrow_type

    zone = {"timezone": "UTC"} if "timezone" in inspect.signature(to_arrow_type).parameters else {}
    return to_arrow_type(kind, **zone)


def _plain(value):
    """As pyarrow takes it: rows are dicts, maps are pairs."""
    if isinstance(value, Row):
        return {name: _plain(v) for name, v in value.asDict().items()}
    if isinstance(value, dict):
        return [(_plain(k), _plain(v)) for k, v in value.items()]
    if isinstance(value, bytearray):
        return bytes(value)
    return list(map(_plain, value)) if isinstance(value, list) else value


@case("default", "small_batches")
def source(spark):
    spark.dataSource.register(Given)
    load = spark.read.format("given_types")
    return attempts({name: lambda name=name: load.option("types", name).load().collect() for name in TOGETHER})


@case()
def source_of_batches(spark):
    spark.dataSource.register(Given)
    load = spark.read.format("given_types").option("arrow", "true")
    return attempts({name: lambda name=name: load.option("types", name).load().collect() for name in TOGETHER})


class Seen(WriterCommitMessage):
    def __init__(self, rows):
        self.rows = rows


class Notes(DataSourceWriter):
    def __init__(self, path):
        self.path = path

    def write(self, iterator):
        return Seen([seen(list(row)) for row in iterator])

    def commit(self, messages):
        with open(self.path, "a", encoding="utf-8") as out:
            out.writelines(row + "\n" for m in messages if m for row in m.rows)


class NotesOfBatches(Notes, DataSourceArrowWriter):
    def write(self, iterator):
        return Seen([f"{b.schema} {seen(list(row.values()))}" for b in iterator for row in b.to_pylist()])


class Noted(DataSource):
    @classmethod
    def name(cls):
        return "noted_types"

    def schema(self):
        return schema_of(TOGETHER[self.options["types"]])

    def writer(self, schema, overwrite):
        return (NotesOfBatches if self.options.get("arrow") else Notes)(self.options["log"])


@case("sink")
def sink(spark):
    def written(folder, types, **options):
        log = os.path.join(folder.path, types)
        frame = frame_of(spark, TOGETHER[types])
        frame.write.format("noted_types").mode("append").options(log=log, types=types, **options).save()
        with open(log, encoding="utf-8") as text:
            return text.read()

    spark.dataSource.register(Noted)
    found = {}
    for options in ({}, {"arrow": "true"}):
        for types in TOGETHER:
            with Folder(spark.conf.get(NOTES)) as folder:
                found[types, *options] = attempt(lambda: written(folder, types, **options))
    return found
