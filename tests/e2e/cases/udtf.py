"""Pickled table functions."""

from pyspark.sql import Row
from pyspark.sql.functions import lit, udtf

from harness.registry import case


@udtf(returnType="word string, length int", useArrow=False)
class Words:
    def eval(self, text):
        for word in (text or "").split():
            yield word, len(word)


@udtf(returnType="n int, total int", useArrow=False)
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


@case(cluster=True)
def eval_only(spark):
    return Words(lit("Grüße an alle")).collect()


@case()
def lateral_join(spark):
    spark.udtf.register("words", Words)
    spark.createDataFrame([(1, "a bb"), (2, None), (3, "ccc é")], "id int, s string").createOrReplaceTempView("lines")
    return [
        spark.sql("select id, word, length from lines, lateral words(s) order by id, word").collect(),
        spark.sql("select id, word from lines left join lateral words(s) order by id, word").collect(),
    ]


@case(cluster=True)
def table_argument(spark):
    _table(spark)
    spark.udtf.register("totals", Totals)
    return [
        sorted(spark.sql("select * from totals(table(t) partition by k order by v)").collect()),
        spark.sql("select * from totals(table(t) with single partition)").collect(),
        spark.sql("select * from totals(table(select * from t where k > 99) with single partition)").collect(),
    ]


@case()
def analyze(spark):
    from pyspark.sql.types import IntegerType, StringType, StructType
    from pyspark.sql.udtf import AnalyzeResult

    @udtf(useArrow=False)
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
def analyze_with_partitioning_and_state(spark):
    import dataclasses

    from pyspark.sql.types import ArrayType, IntegerType, StringType, StructType
    from pyspark.sql.udtf import AnalyzeResult, OrderingColumn, PartitioningColumn

    @dataclasses.dataclass
    class Prepared(AnalyzeResult):
        label: str = ""

    @udtf(useArrow=False)
    class Last:
        def __init__(self, prepared=None):
            self.prepared, self.rows = prepared, []

        @staticmethod
        def analyze(table):
            return Prepared(
                StructType().add("label", StringType()).add("k", IntegerType()).add("vs", ArrayType(IntegerType())),
                partitionBy=[PartitioningColumn("k")],
                orderBy=[OrderingColumn("v", ascending=False)],
                label="lâbel",
            )

        def eval(self, table):
            self.rows.append((table["k"], table["v"]))

        def terminate(self):
            yield self.prepared.label, self.rows[0][0], [v for _, v in self.rows]

    _table(spark)
    spark.udtf.register("newest", Last)
    return sorted(spark.sql("select * from newest(table(t))").collect())


@case()
def analyze_that_raises(spark):
    @udtf(useArrow=False)
    class Refuses:
        @staticmethod
        def analyze(n):
            raise ValueError(f"nö: {n.dataType.simpleString()}")

        def eval(self, n):
            yield (n,)

    return Refuses(lit(1)).collect()


@case()
def errors_in_eval(spark):
    @udtf(returnType="x int", useArrow=False)
    class Fails:
        def eval(self, x):
            yield (1,)
            raise KeyError("mïssing")

    return Fails(lit(1)).collect()


@case()
def errors_in_terminate_and_init(spark):
    from harness.outcome import error

    @udtf(returnType="x int", useArrow=False)
    class Ends:
        def eval(self, x):
            yield (1,)

        def terminate(self):
            raise RuntimeError("at the end")

    @udtf(returnType="x int", useArrow=False)
    class Begins:
        def __init__(self):
            raise RuntimeError("at the start")

        def eval(self, x):
            yield (1,)

    found = []
    for f in (Ends, Begins):
        try:
            found.append(f(lit(1)).collect())
        except Exception as raised:
            found.append(str(error(raised)))
    return found


@case()
def wrong_shape_of_rows(spark):
    from harness.outcome import error

    def returning(value):
        @udtf(returnType="x int, y string", useArrow=False)
        class Odd:
            def eval(self, x):
                yield value

        return Odd

    found = []
    for value in ((1,), (1, "a", 2), [1, "a"], "ab", 5, None, {"x": 1}, Row(x=1, y="b"), ("no", 1)):
        try:
            found.append(returning(value)(lit(1)).collect())
        except Exception as raised:
            found.append(str(error(raised)))
    return found


@case()
def skip_rest_of_input(spark):
    from pyspark.sql.udtf import SkipRestOfInputTableException

    @udtf(returnType="n int", useArrow=False)
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
    spark.udtf.register("few", Few)
    return sorted(spark.sql("select * from few(table(t) partition by k)").collect())
