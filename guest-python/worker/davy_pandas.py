"""Columns to pandas and back, where the values are the same on both sides.

PySpark converts each column of each group or batch by machinery that serves every type, at about a
millisecond. Numbers and text need none of it; all other types, and all errors, are PySpark's own.
Made for the PySpark that has these classes (4.3) and the pandas of the image.
"""

import contextlib
import functools
import operator
import sys

import _davy
from davy_values import array_of, fill_text


def install():
    conversion = sys.modules.get("pyspark.sql.conversion")
    if not hasattr(conversion, "PandasToArrowConversion"):
        return
    _Conversions(conversion).install()


class _Conversions:
    def __init__(self, conversion):
        import numpy as np
        import pandas as pd
        import pyarrow as pa
        from pandas._libs.internals import BlockPlacement
        from pandas.core import roperator
        from pandas.core.generic import NDFrame
        from pandas.core.indexes.api import default_index
        from pandas.core.internals.blocks import new_block_2d
        from pandas.core.internals.managers import BlockManager, SingleBlockManager
        from pyspark.sql import types

        self.np, self.pd, self.pa = np, pd, pa
        self.manager, self.block, self.placement = BlockManager, new_block_2d, BlockPlacement
        self.single, self.begin, self.index = SingleBlockManager, NDFrame.__init__, default_index
        self.conversion = conversion
        integers = {
            types.ByteType: (np.dtype("int8"), pa.int8()),
            types.ShortType: (np.dtype("int16"), pa.int16()),
            types.IntegerType: (np.dtype("int32"), pa.int32()),
            types.LongType: (np.dtype("int64"), pa.int64()),
        }
        self.integers = frozenset(integers)
        self.numbers = integers | {
            types.FloatType: (np.dtype("float32"), pa.float32()),
            types.DoubleType: (np.dtype("float64"), pa.float64()),
        }
        self.flags = {types.BooleanType: (np.dtype("bool"), pa.bool_())}
        self.to_arrow = self.numbers | self.flags
        # Python's and numpy's own values that pandas keeps as they are.
        whole, real = np.dtype("int64"), np.dtype("float64")
        self.scalars = {float: real, np.float64: real, int: whole, np.int64: whole}
        self.places = frozenset((int, np.int32, np.int64))
        # pandas does nothing of its own about what these divide by zero.
        self.operators = {}
        for name in ("add", "sub", "mul", "truediv"):
            self.operators |= {f"__{name}__": getattr(operator, name), f"__r{name}__": getattr(roperator, f"r{name}")}
        self.exact = 1 << 53
        self.names = (str, type(None))
        self.operands = {real: (float, int), whole: (int,)}
        self.text, self.struct = types.StringType, types.StructType
        self.object = np.dtype(object)
        self.schema = None  # the last one, and what PySpark makes of it
        self.spark_schema = None

    def install(self):
        conversion, pd = self.conversion, self.pd
        to_arrow = conversion.PandasToArrowConversion.convert
        to_pandas = conversion.ArrowBatchTransformer.to_pandas
        concat, begin = pd.concat, pd.Series.__init__

        @functools.wraps(to_arrow)
        def convert(data, schema, **options):
            batch = self.batch(data, schema, options)
            return to_arrow(data, schema, **options) if batch is None else batch

        @functools.wraps(to_pandas)
        def to_series(batch, timezone, schema=None, **options):
            found = None
            if batch.num_columns:
                with contextlib.suppress(Exception):  # for PySpark's own error
                    found = self.columns(batch, timezone, schema or self.spark(batch.schema), options)
            return to_pandas(batch, timezone, schema, **options) if found is None else found

        @functools.wraps(concat)
        def concat_columns(objs, *args, **options):
            frame = None
            if not args and options == {"axis": 1} and type(objs) is list:
                frame = self.frame(objs)
            return concat(objs, *args, **options) if frame is None else frame

        @functools.wraps(begin)
        def begin_series(self, data=None, *args, **options):
            one = type(data) is list and len(data) == 1 and not args and not options
            if not (one and scalar(self, data)):
                begin(self, data, *args, **options)

        scalar = self.scalar
        pd.Series.__init__ = begin_series
        conversion.PandasToArrowConversion.convert = staticmethod(convert)
        conversion.ArrowBatchTransformer.to_pandas = staticmethod(to_series)
        pd.concat = concat_columns
        indexer = type(pd.Series(dtype=float).iloc)
        indexer.__getitem__ = _davy.first(self.window, indexer.__getitem__, True)
        for name, operation in self.operators.items():
            ours = functools.partial(self.arithmetic, operation)
            setattr(pd.Series, name, _davy.first(ours, getattr(pd.Series, name), True))

    def spark(self, schema):
        """PySpark's schema for an Arrow schema."""
        if self.schema is None or not self.schema.equals(schema, check_metadata=True):
            self.spark_schema = self.conversion.from_arrow_schema(schema)
            self.schema = schema
        return self.spark_schema

    def columns(self, batch, timezone, schema, options):
        """All columns as Series, structs as PySpark's options want them."""
        general = self.conversion.ArrowArrayToPandasConversion.convert
        other = self.integers if options.get("prefer_int_ext_dtype") else ()
        found = []
        for field, column in zip(schema.fields, batch.columns):
            series = None if type(field.dataType) in other else self.series(column, field)
            if series is None:
                series = general(column, field.dataType, ser_name=field.name, timezone=timezone, **options)
            found.append(series)
        return found

    def series(self, column, field):
        kind = type(field.dataType)
        if isinstance(column, self.pa.ChunkedArray):
            if column.num_chunks != 1:
                return None
            column = column.chunk(0)
        if kind in self.numbers and not column.null_count:
            # A copy, as in PySpark: the function may write into it.
            values = column.to_numpy().copy()
        elif kind is self.text and column.type == self.pa.string():
            try:
                values = fill_text(self.np.empty(len(column), object), column)
            except UnicodeDecodeError:
                return None  # for pyarrow's own error
        else:
            return None
        series = self.pd.Series.__new__(self.pd.Series)
        self.fill(series, values, field.name)
        return series

    def fill(self, series, values, name, index=None):
        """``series.__init__(values, index, name=name, copy=False)`` for an array of numbers."""
        if index is None:
            index = self.index(len(values))
        self.begin(series, self.single.from_array(values, index))
        object.__setattr__(series, "_name", name)

    def window(self, indexer, key):
        """``series.iloc[begin:end]``, as PySpark cuts the rows of each window."""
        whole = indexer.obj
        if type(key) is not slice or type(whole) is not self.pd.Series or key.step is not None:
            return NotImplemented
        if type(key.start) not in self.places or type(key.stop) not in self.places:
            return NotImplemented
        if whole._attrs or not whole._flags.allows_duplicate_labels:
            return NotImplemented
        series = self.pd.Series.__new__(self.pd.Series)
        self.begin(series, whole._mgr.get_slice(key))
        object.__setattr__(series, "_name", whole._name)
        return series

    def arithmetic(self, operation, left, right):
        """``left + right`` and the like of numbers of one type and one index: short batches wait for little else."""
        if type(left) is not self.pd.Series:
            return NotImplemented
        values, name, index = left._values, left._name, left.index
        if type(values) is not self.np.ndarray or left._attrs or not left._flags.allows_duplicate_labels:
            return NotImplemented
        operands = self.operands.get(values.dtype)
        if operands is None:
            return NotImplemented
        if type(right) is self.pd.Series:
            others, other = right._values, right._name
            if type(others) is not self.np.ndarray or others.dtype != values.dtype:
                return NotImplemented
            if index is not right.index and not self.same_range(index, right.index):
                return NotImplemented
            if type(name) not in self.names or type(other) not in self.names:
                return NotImplemented
            if name != other:
                name = None
        elif type(right) in operands and (type(right) is float or abs(right) < self.exact):
            others = right
        else:
            return NotImplemented
        with self.np.errstate(all="ignore"):
            result = operation(values, others)
        series = self.pd.Series.__new__(self.pd.Series)
        self.fill(series, result, name, index)
        return series

    def same_range(self, one, other):
        ranges = type(one) is self.pd.RangeIndex and type(other) is self.pd.RangeIndex
        return ranges and one._range == other._range

    def scalar(self, series, data):
        """``series.__init__(data)`` for a list of one number, as PySpark makes of each aggregate."""
        value = data[0]
        dtype = self.scalars.get(type(value))
        if dtype is None or type(series) is not self.pd.Series:
            return False
        try:
            values = self.np.array(data, dtype)
        except OverflowError:
            return False  # an integer for which pandas takes another type
        self.fill(series, values, None)
        return True

    def batch(self, data, schema, options):
        """A record batch of the values as they are, or None where more is to be done."""
        if options.get("prefers_large_types"):
            return None
        fields = schema.fields
        if type(data) is self.pd.DataFrame:
            data = self.ordered(data, schema, options.get("assign_cols_by_name"))
        if type(data) is not list or not fields or len(data) != len(fields):
            return None
        arrays = []
        for column, field in zip(data, fields):
            array = self.array(column, field.dataType, options)
            if array is None or arrays and len(array) != len(arrays[0]):
                return None
            arrays.append(array)
        return self.pa.RecordBatch.from_arrays(arrays, schema.names)

    def ordered(self, frame, schema, by_name):
        """The columns of the frame in the order of the schema."""
        columns = frame.columns
        if not columns.is_unique or len(columns) != len(schema.fields):
            return None
        if by_name and any(isinstance(name, str) for name in columns):
            try:
                order = [columns.get_loc(name) for name in schema.names]
            except KeyError:
                return None
        else:
            order = range(len(columns))
        return [frame._ixs(place, axis=1) for place in order]

    def array(self, column, kind, options):
        if type(column) is self.pd.DataFrame:
            if type(kind) is not self.struct:
                return None
            nested = self.batch(column, kind, options)
            if nested is None:
                return None
            return self.conversion.ArrowBatchTransformer.wrap_struct(nested).column(0)
        if type(column) is not self.pd.Series:
            return None
        values = column._values
        if type(values) is not self.np.ndarray:
            return None
        if type(kind) in self.to_arrow:
            wanted, arrow = self.to_arrow[type(kind)]
            if values.dtype == wanted:
                # pyarrow looks for NaN one by one.
                nans = wanted.kind == "f" and self.np.isnan(values).any()
                return self.pa.array(values, type=arrow, from_pandas=bool(nans))
        elif type(kind) is self.text and values.dtype == self.object:
            try:
                found = _davy.buffers(values, "U", True)
                if found is not None:
                    return array_of(self.pa.string(), len(values), found)
                return self.pa.array(values, type=self.pa.string(), from_pandas=True)
            except (self.pa.ArrowException, TypeError, ValueError):
                return None  # for PySpark's own error, or its cast
        return None

    def frame(self, columns):
        """What ``pandas.concat(columns, axis=1)`` makes of plain columns of one length."""
        names, groups, length = [], {}, None
        for place, column in enumerate(columns):
            if type(column) is not self.pd.Series:
                return None
            values, index = column._values, column.index
            if type(values) is not self.np.ndarray or not self.plain(index, column):
                return None
            if length is None:
                length = len(index)
            if len(index) != length or type(column.name) is not str:
                return None
            names.append(column.name)
            groups.setdefault(values.dtype, []).append((place, values))
        if len(set(names)) != len(names) or not names:
            return None
        blocks = []
        for dtype, members in groups.items():
            stacked = self.np.empty((len(members), length), dtype)
            for row, (_, values) in zip(stacked, members):
                row[:] = values
            places = self.np.array([place for place, _ in members], self.np.intp)
            blocks.append(self.block(stacked, placement=self.placement(places)))
        axes = [self.pd.Index(names), self.pd.RangeIndex(length)]
        manager = self.manager(blocks, axes, verify_integrity=False)
        return self.pd.DataFrame._from_mgr(manager, axes=axes)

    def plain(self, index, column):
        return (
            type(index) is self.pd.RangeIndex
            and index.start == 0
            and index.step == 1
            and index.name is None
            and not column._attrs
            and column.flags.allows_duplicate_labels
        )
