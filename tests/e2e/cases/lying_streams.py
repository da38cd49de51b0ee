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
    most = 2**31 - 1
    said = []
    for words in ((-2, most), (most,), (-2, -5)):
        try:
            said.append(spark.sparkContext.parallelize(range(3), 1).map(_frame(*words)).collect())
        except Exception as raised:
            said.append(error(raised)["message"])
    alive = spark.sparkContext.parallelize(range(4), 2).map(lambda n: n + 1).sum() == 10
    return {"said": " | ".join(str(s).rsplit("DavyException: ", 1)[-1].splitlines()[0] for s in said), "alive": alive}


def _pickled(*_):
    """A batch of results in which bytes are longer than the batch."""
    import struct

    pickle = b"\x80\x03B" + struct.pack("<i", 2**31 - 1) + b"."
    return _frame(len(pickle), *struct.unpack("!2i", pickle))(0)


def _rewritten(old, new, every=False):
    """A batch whose message says `new` for `old`: the length of its body, which comes first in it, or every count."""

    def lie(batch, out):
        import struct

        message, (old_bytes, new_bytes) = batch.serialize().to_pybytes(), (struct.pack("<q", n) for n in (old, new))
        out.write(message.replace(old_bytes, new_bytes, -1 if every else 1))

    return lie


def _raw(sent):
    return lambda batch, out: out.write(sent)


def _list(batch, out):
    import struct

    offsets = (struct.pack("<4i", *n) for n in ((0, 1, 2, 3), (0, 500_000_000, 500_000_000, 500_000_000)))
    out.write(batch.serialize().to_pybytes().replace(*offsets))


def _instead(lie):
    """Puts what `lie` writes in the place of each batch of an Arrow stream."""

    def change():
        import pyarrow as pa

        writer = pa.ipc.RecordBatchStreamWriter
        write = writer.write_batch

        def instead(self, batch):
            import sys

            frame = sys._getframe()
            while "stream" not in frame.f_locals:
                frame = frame.f_back
            # The schema goes before the first batch.
            write(self, batch.slice(0, 0))
            lie(batch, frame.f_locals["stream"])
            frame.f_locals["stream"].flush()

        writer.write_batch = instead

    return change


def _of(kind, function, lie):
    """A pandas function that lies about results of that kind."""

    def lying(v):
        lie()
        return function(v)

    lying.__annotations__ = {"v": "pd.Series", "return": "pd.Series"}
    return pandas_udf(lying, kind, 200)


@case("no_reuse")
def lengths_in_arrow_streams(spark):
    """Lengths that a stream's messages only say, of rows, lists and values in pickles too: none takes memory."""
    from pyspark.sql.functions import udf

    lies = [
        _raw(b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
        _raw(b"\xff\xff\xff\xff\xfb\xff\xff\xff"),
        _rewritten(24, 1 << 40),
        _rewritten(24, -8),
        _rewritten(24, 3 << 30),
        _rewritten(3, 2**31 - 1, every=True),
    ]
    functions = [_of("long", lambda v: v + 1, _instead(lie)) for lie in lies]
    functions += [_of("array<long>", lambda v: v.map(lambda n: [n]), _instead(_list)), udf(_pickled, "long")]
    said = []
    spark.conf.set("spark.davy.columnar", "false")
    try:
        for function in functions:
            try:
                said.append(str(spark.range(0, 3, 1, 1).select(function("id")).collect()))
            except Exception as raised:
                said.append(error(raised)["message"])
        alive = [r[0] for r in spark.range(3).select(pandas_udf(_plus_one, "long", 200)("id")).collect()] == [1, 2, 3]
    finally:
        spark.conf.unset("spark.davy.columnar")
    return {"said": " | ".join(_one_line(s) for s in said), "alive": alive}


def _one_line(said):
    return said.split("Driver stacktrace")[0].rsplit("Exception: ", 1)[-1].strip().splitlines()[0]


@case("no_reuse")
def lengths_of_requests_for_state(spark):
    """The thread that serves a function's state hears a length, and says to the function what it thinks of it."""
    from pyspark.sql.streaming import StatefulProcessor

    class Lying(StatefulProcessor):
        def init(self, handle):
            self.client = handle._statefulProcessorApiClient

        def handleInputRows(self, key, frames, timers):
            import struct

            self.client.sockfile.write(struct.pack("!2i", 0, 2**31 - 1))
            self.client.sockfile.flush()
            raise ValueError(self.client._receive_proto_message()[1])
            yield

        def close(self):
            pass

    rows = spark.range(0, 1, 1, 1).groupBy("id").transformWithStateInPandas(Lying(), "said string", "append", "none")
    try:
        said = rows.collect()[0][0]
    except Exception as raised:
        said = error(raised)["message"]
    alive = [r[0] for r in spark.range(3).select(pandas_udf(_plus_one, "long", 200)("id")).collect()] == [1, 2, 3]
    return {"said": said, "alive": alive}
