"""Lies in Arrow streams of results, which Spark reads text of by address: on the byte channel, and beside batches."""

from pyspark.sql.functions import pandas_udf

from harness.outcome import error
from harness.registry import case


def _told(spark, lie):
    """The error of a function that lies about its results."""

    def function(v):
        lie()
        return v.astype(str)

    function.__annotations__ = {"v": "pd.Series", "return": "pd.Series"}
    try:
        said = str(spark.range(0, 3, 1, 1).select(pandas_udf(function, "string", 200)("id")).collect())
    except Exception as raised:
        said = error(raised)["message"]
    return " ".join(said.split("davy.DavyException: ")[-1].split("\nDriver stacktrace")[0].split())


def _lie(offered, beginning):
    import struct

    import _davy
    import davy_columns
    import pyarrow as pa

    types = {
        "keys of text": pa.dictionary(pa.int32(), pa.string()),
        "view": pa.string_view(),
        "union": pa.dense_union([pa.field("a", pa.int64())]),
    }

    class Results:
        def __init__(self, stream, schema):
            if offered:
                try:
                    _davy.gateway(8, pa.schema([("_0", types[offered])]).serialize())
                except OSError:
                    pass
            stream.write(struct.pack(">I", 2) + beginning)
            self._ipc = self
            if not beginning:
                self.lying = pa.lib._RecordBatchStreamWriter()
                self.lying._open(stream, pa.schema([("_0", pa.string())]))

        def write_batch(self, batch):
            # Text that begins far outside of the batch, between a first and a last offset that are right.
            offsets = pa.py_buffer(struct.pack("<4i", 0, 1 << 30, 2, 3))
            text = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"abc")])
            self.lying.write_batch(pa.RecordBatch.from_arrays([text], ["_0"]))

        def close(self):
            pass

    davy_columns._Results = Results


def _lie_on_the_byte_channel():
    import struct

    import pyarrow as pa

    writer = pa.ipc.RecordBatchStreamWriter
    write = writer.write_batch

    def lie(self, batch):
        offsets = pa.py_buffer(struct.pack("<4i", 0, 1 << 30, 2, 3))
        text = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"abc")])
        write(self, pa.RecordBatch.from_arrays([text], schema=batch.schema))

    writer.write_batch = lie


@case("no_reuse")
def lies_on_the_byte_channel(spark):
    """Spark's own reader of the same stream, which reads text by address."""
    spark.conf.set("spark.davy.columnar", "false")
    try:
        said = _told(spark, _lie_on_the_byte_channel)
        alive = [r[0] for r in spark.range(3).select(pandas_udf(_plus_one, "long", 200)("id")).collect()] == [1, 2, 3]
    finally:
        spark.conf.unset("spark.davy.columnar")
    return {"said": said, "alive": alive}


@case("no_reuse")
def lies_in_a_stream_of_results(spark):
    said = [_told(spark, lambda kind=kind: _lie(kind, b"")) for kind in ("keys of text", "view", "union", None)]
    said += [
        _told(spark, lambda size=size: _lie("keys of text", b"\xff\xff\xff\xff" + size))
        for size in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\0")
    ]
    said.append(_told(spark, lambda: _lie("keys of text", b"not Arrow at all")))
    alive = [r[0] for r in spark.range(3).select(pandas_udf(_plus_one, "long", 200)("id")).collect()] == [1, 2, 3]
    return {"said": " | ".join(said), "alive": alive}


def _plus_one(v):
    return v + 1


def _frame(*words):
    """Writes to the worker's own output, as code can that looks for it."""

    def work(_):
        import struct
        import sys

        frame = sys._getframe()
        while "outfile" not in frame.f_locals:
            frame = frame.f_back
        out = frame.f_locals["outfile"]
        out.write(struct.pack(f"!{len(words)}i", *words))
        out.flush()
        return 1

    return work


@case("no_reuse")
def lengths_of_frames(spark):
    """A length that is only said: of an exception, of a result, and less than nothing."""
    from harness.outcome import error

    most = 2**31 - 1
    said = []
    for words in ((-2, most), (most,), (-2, -5)):
        try:
            said.append(spark.sparkContext.parallelize(range(3), 1).map(_frame(*words)).collect())
        except Exception as raised:
            said.append(error(raised)["message"])
    alive = spark.sparkContext.parallelize(range(4), 2).map(lambda n: n + 1).sum() == 10
    return {"said": " | ".join(str(s).rsplit("DavyException: ", 1)[-1].splitlines()[0] for s in said), "alive": alive}
