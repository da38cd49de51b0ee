"""Settings by which a stock worker starts threads: a sandbox has one, and the results are the same."""

from pyspark.sql.functions import col, pandas_udf, udf

from harness.registry import case

LEVEL = "spark.sql.execution.pythonUDF.arrow.concurrency.level"


@case()
def concurrency_of_plain_functions(spark):
    spark.conf.set(LEVEL, "4")
    try:

        @udf("string", useArrow=True)
        def text(x, y):
            return None if x % 3 == 0 else f"{x} {y}"

        @udf("long", useArrow=True)
        def fails(x):
            return 1 // (x - 7)

        frame = spark.range(0, 10, 1, 2).withColumn("half", col("id") / 2)
        rows = frame.select(text("id", "half"), text("half", "id")).collect()
        try:
            frame.select(fails("id")).collect()
            said = None
        except Exception as error:
            said = "ZeroDivisionError: integer division or modulo by zero" in str(error)
        return rows, said
    finally:
        spark.conf.unset(LEVEL)


@case("pipelined", since="4.3")
def pipelined_rdd(spark):
    sc = spark.sparkContext
    table = sc.broadcast({"k": list(range(1000))})
    count = sc.accumulator(0)

    def work(part):
        for x in part:
            count.add(1)
            yield x + table.value["k"][x % 1000]

    rows = sc.parallelize(range(20_000), 3).mapPartitions(work)
    pairs = rows.map(lambda x: (x % 7, x)).reduceByKey(lambda a, b: a + b)
    return sorted(pairs.collect()), count.value, rows.take(3)


@case("pipelined", since="4.3")
def pipelined_functions(spark):
    from pyspark.sql.functions import arrow_udf

    @udf("long", useArrow=False)
    def pickled(x):
        return x + 1

    @udf("long", useArrow=True)
    def plain(x):
        return x + 2

    @pandas_udf("double")
    def series(x):
        return x * 0.5

    @arrow_udf("long")
    def arrow(x):
        import pyarrow.compute as pc

        return pc.multiply(x, 3)

    frame = spark.range(0, 30_000, 1, 3)
    made = [
        frame.select(f("id").alias("y")).selectExpr("sum(y)", "count(y)").collect()
        for f in (pickled, plain, series, arrow)
    ]
    return made, frame.select(pickled("id"), plain("id")).limit(3).collect()


@case("pipelined", since="4.3")
def pipelined_groups(spark):
    def total(frame):
        return frame.groupby("k", as_index=False).agg({"id": "sum"})

    def batches(frames):
        for frame in frames:
            yield frame[frame["id"] % 1000 == 0]

    frame = spark.range(0, 10_000, 1, 2).withColumn("k", col("id") % 5)
    return (
        sorted(frame.groupBy("k").applyInPandas(total, "k long, id long").collect()),
        sorted(frame.mapInPandas(batches, "id long, k long").collect()),
    )


@case("pipelined", since="4.3")
def pipelined_error(spark):
    @udf("long", useArrow=False)
    def fails(x):
        return 1 // (x - 25_000)

    return spark.range(0, 30_000, 1, 2).select(fails("id").alias("y")).selectExpr("sum(y)").collect()
