"""Kernels of numpy, pandas and Arrow that call Python back, and types nested deeply."""

from pyspark.sql.functions import pandas_udf
from pyspark.sql.types import ArrayType, LongType, StructType

from harness.registry import case


def end(work):
    """How it ends: stock's recursion limit may be met in another frame than a sandbox's."""
    try:
        return work()
    except RecursionError:
        return "RecursionError"


def first(spark, work):
    return spark.sparkContext.parallelize([0], 1).map(work).collect()


@case()
def recursion_of_frompyfunc(spark):
    def work(_):
        import numpy as np

        def deeper(x):
            return again(np.array([x + 1], dtype=object))[0]

        again = np.frompyfunc(deeper, 1, 1)
        return end(lambda: deeper(0))

    return first(spark, work)


@case()
def recursion_of_apply(spark):
    @pandas_udf("string")
    def work(column):
        import pandas as pd

        def deeper(x):
            return pd.Series([x + 1]).apply(deeper)[0]

        return pd.Series([end(lambda: deeper(0))] * len(column))

    return spark.range(1).select(work("id")).collect()


@case()
def recursion_of_a_registered_function(spark):
    def work(_):
        import pyarrow as pa
        import pyarrow.compute as pc

        def deeper(context, x):
            return pc.call_function("deeper_and_deeper", [x])

        try:
            pc.register_scalar_function(
                deeper, "deeper_and_deeper", {"summary": "", "description": ""}, {"x": pa.int64()}, pa.int64()
            )
        except pa.ArrowKeyError:
            pass  # of this worker's task before
        return end(lambda: pc.call_function("deeper_and_deeper", [pa.array([1])]))

    return first(spark, work)


def nested(depth, kind):
    found = LongType()
    for _ in range(depth):
        found = ArrayType(found) if kind == "list" else StructType().add("a", found)
    return found


def deep(spark, depth, kind):
    from pyspark.sql.functions import arrow_udf

    spark_type = nested(depth, kind)

    @arrow_udf(spark_type)
    def work(x):
        import pyarrow as pa

        for _ in range(depth):
            if kind == "list":
                x = pa.ListArray.from_arrays(list(range(len(x) + 1)), x)
            else:
                x = pa.StructArray.from_arrays([x], ["a"])
        return x

    @arrow_udf("long")
    def back(x):
        for _ in range(depth):
            x = x.flatten() if kind == "list" else x.field(0)
        return x

    made = spark.range(3).select(work("id").alias("x"))
    return made.collect(), made.select(back("x")).collect()


@case(since="4.1")
def lists_nested_60_deep(spark):
    return deep(spark, 60, "list")


@case(since="4.1")
def lists_nested_65_deep(spark):
    return deep(spark, 65, "list")


@case(since="4.1")
def structs_nested_65_deep(spark):
    return deep(spark, 65, "struct")
