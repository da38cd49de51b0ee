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

    kinds = numbers | {text: "U"}

    def array(*args, **options):
        kind = options.get("type")
        if len(args) != 1 or type(args[0]) is not list or len(options) != 1 or type(kind) is not pa.DataType:
            return NotImplemented
        found = _davy.buffers(args[0], kinds[kind], False) if kind in kinds and args[0] else None
        return NotImplemented if found is None else array_of(kind, len(args[0]), found)

    cls._to_pylist = staticmethod(to_pylist)
    pa.array = _davy.first(array, pa.array)
    _remember_versions()
    if hasattr(conversion, "PandasToArrowConversion"):  # PySpark 4.3
        rows = conversion.LocalDataToArrowConversion
        rows.convert = staticmethod(_davy.first(_Rows(conversion).convert, rows.convert))


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


def _remember_versions():
    """PySpark parses the release of pyarrow anew for every row of a table function."""
    from pyspark.loose_version import LooseVersion

    known, parse = {}, LooseVersion.parse

    def parse_once(self, vstring):
        if vstring not in known:
            parse(self, vstring)
            known[vstring] = self.version
        self.vstring, self.version = vstring, known[vstring]

    LooseVersion.parse = parse_once


class _Rows:
    """Rows of table functions to Arrow tables. PySpark makes converters and schema anew for the rows of each call."""

    def __init__(self, conversion):
        self.conversion, self.schema, self.large = conversion, None, None

    def convert(self, data, schema, use_large_var_types):
        """NotImplemented for rows that are no tuples, for the first ones of a schema, and in place of an error."""
        import pyarrow as pa

        try:
            if schema is not self.schema or use_large_var_types != self.large:
                self._prepare(schema, use_large_var_types)
                return NotImplemented
            width = len(self.converters)
            if not width or not all(type(row) is tuple and len(row) == width for row in data):
                return NotImplemented
            columns = [
                list(column) if convert is None else [convert(value) for value in column]
                for convert, column in zip(self.converters, zip(*data))
            ]
            return pa.Table.from_arrays(columns, schema=self.arrow)
        except Exception:
            return NotImplemented

    def _prepare(self, schema, large):
        conversion, fields, kinds = self.conversion, schema.fields, type(schema)
        make = conversion.LocalDataToArrowConversion._create_converter
        self.converters = [
            make(f.dataType, f.nullable, none_on_identity=True, int_to_decimal_coercion_enabled=False) for f in fields
        ]
        unique = conversion._deduplicate_field_names
        plain = kinds([type(f)(f.name, unique(f.dataType), f.nullable) for f in fields])
        self.arrow = conversion.to_arrow_schema(plain, timezone="UTC", prefers_large_types=large)
        self.schema, self.large = schema, large


def _numbers(column):
    if column.null_count == 0:
        return column.to_numpy().tolist()
    values = column.fill_null(0).to_numpy().tolist()
    valid = column.is_valid().to_numpy(zero_copy_only=False).tolist()
    return [value if known else None for value, known in zip(values, valid)]
