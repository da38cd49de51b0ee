"""Table functions whose rows travel as Arrow: `useArrow=True`, and those that take and give Arrow themselves."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Row
from pyspark.sql.functions import lit, udtf

from cases.arrow_udf_types import KINDS
from cases.attempts import attempt, attempts
from harness.registry import case


@udtf(returnType="word string, length int", useArrow=True)
class Words:
    def eval(self, text):
        for word in (text or "").split():
            yield word, len(word)


@udtf(returnType="n int, total int", useArrow=True)
class Totals:
    def __init__(self):
        self.n, self.total = 0, 0

    def eval(self, row: Row):
        self.n += 1
        self.total += row["v"] or 0

    def terminate(self):
        yield self.n, self.total


def _table(spark):
    rows = [(k, (k * 7 + i) % 11) for k in range(4) for i in range(k + 1)]
    spark.createDataFrame(rows, "k int, v int").createOrReplaceTempView("t")


@case("default", "legacy_arrow", "small_batches", cluster=True)
def eval_and_lateral_join(spark):
    spark.udtf.register("arrow_words", Words)
    spark.createDataFrame([(1, "a bb"), (2, None), (3, "ccc é d")], "id int, s string").createOrReplaceTempView("lines")
    return [
        Words(lit("Grüße an alle")).collect(),
        spark.sql("select id, word, length from lines, lateral arrow_words(s) order by id, word").collect(),
        spark.sql("select id, word from lines left join lateral arrow_words(s) order by id, word").collect(),
        spark.sql("select * from arrow_words(text => 'by name')").collect(),
    ]


@case("default", "legacy_arrow", "small_batches", cluster=True)
def table_argument(spark):
    _table(spark)
    spark.udtf.register("arrow_totals", Totals)
    return [
        sorted(spark.sql("select * from arrow_totals(table(t) partition by k order by v)").collect()),
        spark.sql("select * from arrow_totals(table(t) with single partition)").collect(),
        spark.sql("select * from arrow_totals(table(select * from t where k > 99) with single partition)").collect(),
    ]


@case(since="4.1")
def table_argument_of_a_frame(spark):
    _table(spark)
    return sorted(Totals(spark.table("t").asTable().partitionBy("k").orderBy("v")).collect())


@case("default", "legacy_arrow")
def each_type(spark):
    kinds = ["boolean", "long", "double", "string", "binary", "decimal(38,18)", "date", "timestamp", "array<int>",
             "map<string,int>", "struct<a:int,b:string>", "timestamp_ntz", "interval day to second"]  # fmt: skip

    def through(kind):
        @udtf(returnType=f"v {kind}, seen string", useArrow=True)
        class Same:
            def eval(self, v):
                yield v, f"{type(v).__name__} {v!r}"

        spark.udtf.register("same_of_type", Same)
        frame = spark.createDataFrame([(v,) for v in KINDS[kind][-2:]], f"v {kind}", verifySchema=False)
        frame.createOrReplaceTempView("values_of_type")
        return spark.sql("select s.* from values_of_type x, lateral same_of_type(x.v) s").collect()

    return attempts({kind: lambda kind=kind: through(kind) for kind in kinds})


@case()
def analyze(spark):
    from pyspark.sql.types import IntegerType, StringType, StructType
    from pyspark.sql.udtf import AnalyzeResult

    @udtf(useArrow=True)
    class Spread:
        @staticmethod
        def analyze(n, prefix):
            schema = StructType()
            for i in range(n.value):
                schema = schema.add(f"{prefix.value}{i}", IntegerType() if i % 2 else StringType())
            return AnalyzeResult(schema)

        def eval(self, n, prefix):
            yield tuple(i if i % 2 else f"é{i}" for i in range(n))

    frame = Spread(lit(3), lit("c"))
    return [frame.schema.simpleString(), frame.collect()]


@case()
def analyze_with_partitioning(spark):
    from pyspark.sql.types import ArrayType, IntegerType, StructType
    from pyspark.sql.udtf import AnalyzeResult, OrderingColumn, PartitioningColumn

    @udtf(useArrow=True)
    class Newest:
        def __init__(self):
            self.rows = []

        @staticmethod
        def analyze(table):
            schema = StructType().add("k", IntegerType()).add("vs", ArrayType(IntegerType()))
            by = [PartitioningColumn("k")]
            return AnalyzeResult(schema, partitionBy=by, orderBy=[OrderingColumn("v", ascending=False)])

        def eval(self, table):
            self.rows.append((table["k"], table["v"]))

        def terminate(self):
            yield self.rows[0][0], [v for _, v in self.rows]

    _table(spark)
    spark.udtf.register("arrow_newest", Newest)
    return sorted(spark.sql("select * from arrow_newest(table(t))").collect())


@case()
def skip_rest_of_input(spark):
    from pyspark.sql.udtf import SkipRestOfInputTableException

    @udtf(returnType="n int", useArrow=True)
    class Few:
        def __init__(self):
            self.n = 0

        def eval(self, row: Row):
            self.n += 1
            if self.n == 2:
                raise SkipRestOfInputTableException("enough")

        def terminate(self):
            yield (self.n,)

    _table(spark)
    spark.udtf.register("arrow_few", Few)
    return sorted(spark.sql("select * from arrow_few(table(t) partition by k)").collect())


def _returning(value, at="eval"):
    @udtf(returnType="x int, y string", useArrow=True)
    class Odd:
        def eval(self, x):
            return value(x) if at == "eval" else None

        def terminate(self):
            return value(0) if at == "terminate" else None

    return Odd


ROWS = {
    "short": (1,), "long": (1, "a", 2), "list": [1, "a"], "text": "ab", "number": 5, "none": None, "dict": {"x": 1,
    "y": "a"},
    "row": Row(x=1, y="b"), "types": ("no", 1), "coerced": ("7", 2.5), "overflow": (2**40, "a"),
}  # fmt: skip


def _row(name):
    def run(spark):
        return attempt(lambda: _returning(lambda x: iter([ROWS[name]]))(lit(1)).collect())

    run.__module__ = __name__
    return run


for _name in ROWS:
    case("default", name=f"row_{_name}")(_row(_name))


@case()
def errors(spark):
    def failing(x):
        yield 1, "a"
        raise KeyError("mïssing")

    @udtf(returnType="x int", useArrow=True)
    class Begins:
        def __init__(self):
            raise RuntimeError("at the start")

        def eval(self, x):
            yield (1,)

    return attempts({
        "eval": lambda: _returning(failing)(lit(1)).collect(),
        "terminate": lambda: _returning(failing, "terminate")(lit(1)).collect(),
        "init": lambda: Begins(lit(1)).collect(),
        "not iterable": lambda: _returning(lambda x: 5)(lit(1)).collect(),
        "no rows": lambda: _returning(lambda x: None)(lit(1)).collect(),
        "arguments": lambda: Words(lit("a"), lit("b")).collect(),
        "nothing declared": lambda: udtf(type("Bare", (), {"eval": lambda self: None}), useArrow=True),
    })  # fmt: skip


def arrow_udtf(**how):
    from pyspark.sql.functions import arrow_udtf as of_spark  # not there before 4.1

    return of_spark(**how)


@case("default", "small_batches", since="4.1", cluster=True)
def of_arrays(spark):
    @arrow_udtf(returnType="x long, doubled long, t string")
    class Double:
        def eval(self, x: pa.Array) -> Iterator[pa.Table]:
            yield pa.table({"x": x, "doubled": pc.multiply(x, 2), "t": [f"{x.type}"] * len(x)})

    spark.udtf.register("double_of", Double)
    spark.range(0, 5, 1, 1).createOrReplaceTempView("numbers")
    return [
        Double(lit(2**40)).collect(),
        "LATERAL_JOIN_WITH_ARROW_UDTF_UNSUPPORTED"
        in attempt(lambda: spark.sql("select n.id, d.* from numbers n, lateral double_of(n.id) d").collect()),
    ]


@case("default", "small_batches", since="4.1", cluster=True)
def of_batches(spark):
    @arrow_udtf(returnType="k int, n long, total long")
    class Summed:
        def __init__(self):
            self.k, self.n, self.total = None, 0, 0

        def eval(self, batch: pa.RecordBatch) -> Iterator[pa.Table]:
            self.k = batch.column("k")[0].as_py()
            self.n += batch.num_rows
            self.total += pc.sum(batch.column("v")).as_py()
            return iter(())

        def terminate(self) -> Iterator[pa.Table]:
            yield pa.table({"k": pa.array([self.k], "i4"), "n": [self.n], "total": [self.total]})

    _table(spark)
    spark.udtf.register("summed", Summed)
    return [
        sorted(spark.sql("select * from summed(table(t) partition by k)").collect()),
        spark.sql("select n, total from summed(table(t) with single partition)").collect(),
    ]


TABLES = {
    "missing": lambda: pa.table({"x": [1]}), "swapped": lambda: pa.table({"y": ["a"], "x": [1]}),
    "types": lambda: pa.table({"x": ["a"], "y": ["b"]}),
    "batch": lambda: pa.RecordBatch.from_pydict({"x": [1], "y": ["b"]}), "tuple": lambda: (1, "a"),
    "large": lambda: pa.table({"x": [2**40], "y": ["b"]}),
}  # fmt: skip


@case(since="4.1")
def wrong_tables(spark):
    def returning(make):
        @arrow_udtf(returnType="x int, y string")
        class Odd:
            def eval(self, n: pa.Array) -> Iterator[pa.Table]:
                yield make()

        return Odd(lit(1)).collect()

    return attempts({name: lambda make=make: returning(make) for name, make in TABLES.items()})
