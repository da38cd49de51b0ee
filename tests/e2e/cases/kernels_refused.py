"""Kernels that want more than a sandbox may have: each ends in a limit with its numbers. Only Davy's."""

from cases.refused import attempt
from harness.registry import case


def repeated_text(_):
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.array(["x" * (1 << 20)], pa.large_string())
    return len(pc.binary_repeat(text, 1000))


def joined_text(_):
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(["x" * (1 << 20)] * 32)
    return len(pc.binary_join_element_wise(*[texts] * 12, ""))


def replaced_text(_):
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(["x" * (1 << 20)] * 8)
    return len(pc.replace_substring_regex(texts, "x", "many" * 25))


# More than 32-bit pointers can serve in one piece: nobody asks the host.
def text_of_3_gib(_):
    import pyarrow as pa

    return len(pa.repeat(pa.scalar("x" * (1 << 20), pa.large_string()), 3000))


def text_of_8_gib(_):
    import pyarrow as pa

    return len(pa.repeat(pa.scalar("x" * (1 << 20), pa.large_string()), 8000))


def list_of_4_gib(_):
    return len([0] * (1 << 30))


def numbers_of_8_gib(_):
    import numpy as np

    return np.ones((1 << 15, 1 << 15)).shape


def own_memory_error(_):
    raise MemoryError("of the script's own")


IN_ONE_PIECE = (text_of_3_gib, text_of_8_gib, list_of_4_gib, numbers_of_8_gib)

for _work in (repeated_text, joined_text, replaced_text, *IN_ONE_PIECE, own_memory_error):

    def _run(spark, work=_work):
        return attempt(spark, work)

    _run.__module__ = __name__
    case("limited", name=_work.__name__, seconds=60)(_run)


def _tried(spark, frame):
    from harness.outcome import error

    try:
        said = f"allowed: {frame.collect()}"
    except Exception as raised:
        said = error(raised)["message"]
    return {"said": said, "alive": spark.range(3).count() == 3}


# Stock says of these that it wanted an array and got one of several pieces.
@case("all_memory", seconds=120)
def column_of_3_gib_of_text(spark):
    from pyspark.sql.functions import pandas_udf

    @pandas_udf("string")
    def work(column):
        import pandas as pd

        return pd.Series(["x" * (1 << 20)] * len(column))

    return _tried(spark, spark.range(0, 3000, 1, 1).select(work("id")))


@case("all_memory", seconds=120)
def arrow_column_of_2_gib_of_text(spark):
    def work(batches):
        import pyarrow as pa

        for batch in batches:
            yield pa.RecordBatch.from_arrays([pa.array(["x" * (1 << 20)] * batch.num_rows)], ["a"])

    return _tried(spark, spark.range(0, 2048, 1, 1).mapInArrow(work, "a string"))
