"""Arrow batches through linear memory, where stock sends Arrow streams over a socket.

The host announces each batch by a frame on the channel; the batch itself it writes straight into a
buffer of the guest's, in which pyarrow sees its columns in place. Results go back as C data interface
structs: the host copies their buffers out and checks them. Only PySpark's loading and dumping of
streams is replaced; what it does with the batches is its own.

Frames, big-endian: size (i32) and bytes of the schema, or for a schema of before -1 less its number
in the order of arrival; then for each batch 1, rows (u32), bytes
(u64), numbers of nodes and buffers (u32 each), length and nulls of each node, place and length of
each buffer (u64 each); at the end 0. Small groups come many in one batch, a pack: 4 in place of the 1,
and then 5 and rows (u32) for each batch that is the next slice of it. Results that go back together
are announced by 4, their number and the rows of each (u32).
"""

import errno
import functools
import struct
import sys
import time

import _davy

# Verbs of the host's gateway.
_TAKE_BATCH, _GIVE_SCHEMA, _GIVE_BATCH, _PASSES_BATCHES = 7, 8, 9, 10
# Frames.
_END, _BATCH, _STREAM, _SCHEMA, _PACK, _SLICE = 0, 1, 2, 3, 4, 5
_NOT_SUPPORTED = errno.ENOTSUP
# Types may be nested so deep: the host's reader of schemas goes through 64 tables, and Arrow's own stream no deeper.
_DEEPEST = 60
# Bytes of an ArrowArray struct on a 32-bit machine.
_ARRAY = 64

# Results of as many bytes, slices or seconds go to the host together.
_HELD_BYTES, _HELD, _HELD_SECONDS = 256 << 10, 1024, 0.02

_input = _output = None
_columnar = False
_schemas = []  # of this command's input
_pack, _next_row = None, 0
_results = None


_U32 = struct.Struct(">I")


def begin(infile, outfile):
    """A command begins."""
    global _input, _output, _columnar, _pack, _results
    _input, _output = infile, outfile
    _pack = _results = None
    _schemas.clear()
    _columnar = bool(_davy.gateway(_PASSES_BATCHES, b""))


def install():
    """Hooks the two ends of Arrow streams, where they are the worker's own.

    Below PySpark's serializers, so that tracebacks show the same lines as stock's.
    """
    ipc = sys.modules.get("pyarrow.ipc")
    if ipc is None:
        return
    open_stream, writer = ipc.open_stream, ipc.RecordBatchStreamWriter

    @functools.wraps(open_stream)
    def open_stream_or_batches(source, **options):
        ours = _columnar and source is _input
        return _load(source) if ours else open_stream(source, **options)

    def replace(name, ours):
        original = getattr(writer, name)

        @functools.wraps(original)
        def method(self, *args, **kwargs):
            results = self.__dict__.get("_davy")
            return original(self, *args, **kwargs) if results is None else ours(results, *args)

        setattr(writer, name, method)

    start = writer.__init__

    @functools.wraps(start)
    def begin_results(self, sink, schema, **options):
        if _columnar and sink is _output:
            global _results
            self._davy = _results = _Results(sink, schema)
        else:
            start(self, sink, schema, **options)

    ipc.open_stream = open_stream_or_batches
    writer.__init__ = begin_results
    replace("write_batch", _Results.write)
    replace("close", _Results.close)


def _load(stream):
    import pyarrow as pa

    size = struct.unpack(">i", stream.read(4))[0]
    if size >= 0:
        schema = pa.ipc.read_schema(pa.py_buffer(stream.read(size)))
        _schemas.append((schema, [_shape(pa, kind) for kind in schema.types]))
    schema = _schemas[-1 if size >= 0 else -1 - size]
    global _pack, _next_row
    while frame := _U32.unpack(stream.read(4))[0]:
        if frame == _SLICE:
            rows = _U32.unpack(stream.read(4))[0]
            begin, _next_row = _next_row, _next_row + rows
            yield _pack.slice(begin, rows)
        elif frame == _PACK:
            if _results is not None:
                _results.give()  # those of the pack before
            _pack, _next_row = _take(pa, stream, schema), 0
        else:
            yield _take(pa, stream, schema)


def _shape(pa, kind):
    """What is asked of a type for each of its arrays: itself, the number of its buffers (none of a column of nulls), its
    children's."""
    if pa.types.is_null(kind):
        return kind, 0, ()
    return kind, kind.num_buffers, [_shape(pa, child) for child in _below(kind)]


def _take(pa, stream, schema):
    schema, shapes = schema
    rows, size, nodes, buffers = struct.unpack(">IQII", stream.read(20))
    numbers = struct.unpack(f">{2 * (nodes + buffers)}Q", stream.read(16 * (nodes + buffers)))
    memory = pa.py_buffer(_davy.gateway(_TAKE_BATCH, b"", size)) if size else None
    places = iter(numbers[2 * nodes :])
    slices = (memory.slice(at, length) if length else None for at, length in zip(places, places))
    numbers = iter(numbers[: 2 * nodes])
    columns = [_array(pa, shape, numbers, slices) for shape in shapes]
    # A batch without columns would forget its rows; the host sends none.
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _array(pa, shape, numbers, buffers):
    kind, count, below = shape
    length, nulls = next(numbers), next(numbers)
    if not count:
        return pa.nulls(length)
    own = [next(buffers) for _ in range(count)]
    if count > 1 and own[1] is None:
        own[1] = pa.py_buffer(bytes(8))  # an absent buffer stands for validity only
    if count > 2 and own[2] is None:
        own[2] = pa.py_buffer(b"")
    children = [_array(pa, child, numbers, buffers) for child in below]
    return pa.Array.from_buffers(kind, length, own, nulls, 0, children)


def _row_bytes(pa, kinds):
    """Bytes of a row of these fields; None if not all have the same."""
    total = 0
    for kind in (field.type for field in kinds):
        try:
            own = _row_bytes(pa, kind) if pa.types.is_struct(kind) else (kind.bit_width + 7) // 8
        except ValueError:
            own = None
        if own is None:
            return None
        total += own
    return total


def _is_deep(kinds, left=_DEEPEST):
    """Whether types are nested so deep that the host reads no schema of them."""
    return left < 0 or any(_is_deep(_below(kind), left - 1) for kind in kinds if kind.num_fields)


def _below(kind):
    return [kind.field(i).type for i in range(kind.num_fields)]


class _Results:
    """The stream of results; its first batch decides the schema."""

    def __init__(self, stream, schema):
        import pyarrow as pa

        self._pa, self._stream, self._schema, self._ipc = pa, stream, schema, None
        self._held, self._bytes, self._since = [], 0, 0.0
        plain = pa.schema([field.remove_metadata() for field in schema])
        try:
            if _is_deep(schema.types):
                raise OSError(_NOT_SUPPORTED, "nested too deep")
            _davy.gateway(_GIVE_SCHEMA, plain.serialize())
        except OSError as error:
            if error.errno != _NOT_SUPPORTED:
                raise
            # Types that have no way through memory, which Spark will refuse in its own words.
            stream.write(struct.pack(">I", _STREAM))
            self._ipc = pa.lib._RecordBatchStreamWriter()
            self._ipc._open(stream, schema)
            return
        stream.write(struct.pack(">I", _SCHEMA))
        self._place = pa.allocate_buffer(_ARRAY)
        self._row_bytes = _row_bytes(pa, schema)

    def write(self, batch):
        if self._ipc is not None:
            return self._ipc.write_batch(batch)
        if not batch.schema.equals(self._schema):
            # As Arrow's own writer says it.
            raise self._pa.ArrowInvalid("Tried to write record batch with different schema")
        if _pack is None:
            return self._give(batch)
        # Asking pyarrow costs more than many a small batch's function.
        size = batch.nbytes if self._row_bytes is None else batch.num_rows * self._row_bytes
        if size >= _HELD_BYTES:
            self.give()
            return self._give(batch)
        # As many small results as there are slices of the pack: one hand-over for all, but nobody waits for it long.
        if not self._held:
            self._since = time.monotonic()
        self._held.append(batch)
        self._bytes += size
        full = self._bytes >= _HELD_BYTES or len(self._held) >= _HELD
        if full or time.monotonic() - self._since > _HELD_SECONDS:
            self.give()

    def give(self):
        """Gives the host what was held."""
        held, self._held, self._bytes = self._held, [], 0
        rows = [batch.num_rows for batch in held]
        if sum(rows) == 0:
            # Batches of no rows would melt into none.
            for batch in held:
                self._give(batch)
            return
        [together] = held if len(held) == 1 else self._pa.Table.from_batches(held).combine_chunks().to_batches()
        self._give(together, struct.pack(f">{len(rows) + 2}I", _PACK, len(rows), *rows))

    def _give(self, batch, frame=struct.pack(">I", _BATCH)):
        address = self._place.address
        batch._export_to_c(address)
        try:
            _davy.gateway(_GIVE_BATCH, struct.pack("<I", address))
        finally:
            self._pa.RecordBatch._import_from_c(address, self._schema)  # releases what was exported
        self._stream.write(frame)
        self._stream.flush()

    def close(self):
        if self._ipc is not None:
            self._ipc.close()
        else:
            self.give()
            self._stream.write(struct.pack(">I", _END))

