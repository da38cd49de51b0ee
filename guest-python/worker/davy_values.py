"""Columns to Python values in bulk, for plain functions that get Arrow data.

PySpark asks pyarrow for one scalar object a value. numpy gives the same values in one call for the
types below; all others, and all errors, are PySpark's own.
"""

import sys


def install():
    conversion = sys.modules.get("pyspark.sql.conversion")
    cls = getattr(conversion, "ArrowTableToRowsConversion", None)
    original = getattr(cls, "_to_pylist", None)
    if original is None:
        return
    import pyarrow as pa

    numbers = {pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64()}
    objects = {pa.bool_(), pa.string(), pa.large_string(), pa.binary(), pa.large_binary()}

    def to_pylist(column):
        if isinstance(column, pa.Array):
            if column.type in numbers:
                return _numbers(column)
            if column.type in objects:
                try:
                    return column.to_numpy(zero_copy_only=False).tolist()
                except Exception:
                    return original(column)  # for its own error
        return original(column)

    cls._to_pylist = staticmethod(to_pylist)


def _numbers(column):
    if column.null_count == 0:
        return column.to_numpy().tolist()
    values = column.fill_null(0).to_numpy().tolist()
    valid = column.is_valid().to_numpy(zero_copy_only=False).tolist()
    return [value if known else None for value, known in zip(values, valid)]
