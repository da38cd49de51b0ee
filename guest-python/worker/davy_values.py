"""Columns to Python values and back in bulk, for plain functions that get Arrow data.

PySpark asks pyarrow for one scalar object a value, and pyarrow looks at each value of a list to see
what it is. numpy and core/davy_values.c give the same values in one call for the types below; all
others, and all errors, are theirs.
"""

import sys

import _davy


def install():
    conversion = sys.modules.get("pyspark.sql.conversion")
    cls = getattr(conversion, "ArrowTableToRowsConversion", None)
    original = getattr(cls, "_to_pylist", None)
    if original is None:
        return
    import pyarrow as pa

    whole = {pa.int8(): "b", pa.int16(): "h", pa.int32(): "i", pa.int64(): "q"}
    numbers = whole | {pa.float32(): "f", pa.float64(): "d"}
    objects = {pa.bool_(), pa.large_string(), pa.binary(), pa.large_binary()}
    text = pa.string()

    def to_pylist(column):
        if isinstance(column, pa.Array):
            if column.type in numbers:
                return _numbers(column)
            try:
                if column.type == text:
                    return fill_text([None] * len(column), column)
                if column.type in objects:
                    return column.to_numpy(zero_copy_only=False).tolist()
            except Exception:
                return original(column)  # for its own error
        return original(column)

    cls._to_pylist = staticmethod(to_pylist)
    pa.array = _davy.array_function(pa.array, array_of, numbers | {text: "U"})


def array_of(kind, rows, found):
    """The Arrow array of `_davy.buffers`' answer."""
    import pyarrow as pa

    nulls, buffers = found
    buffers = [None if buffer is None else pa.py_buffer(buffer) for buffer in buffers]
    return pa.Array.from_buffers(kind, rows, buffers, nulls)


def fill_text(target, column):
    """A list or an array of objects with the column's strings in it; as long as the column."""
    if len(column):
        validity, offsets, data = column.buffers()
        validity = validity if column.null_count else None
        _davy.text_into(target, validity, offsets, b"" if data is None else data, column.offset)
    return target


def _numbers(column):
    if column.null_count == 0:
        return column.to_numpy().tolist()
    values = column.fill_null(0).to_numpy().tolist()
    valid = column.is_valid().to_numpy(zero_copy_only=False).tolist()
    return [value if known else None for value, known in zip(values, valid)]
