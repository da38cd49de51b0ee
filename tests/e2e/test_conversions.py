"""The guest's own conversions to pandas and back, beside PySpark's, in native Python of the same releases."""

from __future__ import annotations

import datetime
import decimal
import itertools
import pathlib
import sys
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyspark.sql.conversion as conversion
import pytest
from pyspark.sql import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "guest-python/worker"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "native"))
import davy_pandas

D = decimal.Decimal
COLUMNS = {
    "long": pa.array([1, 2, 3], pa.int64()),
    "long with null": pa.array([1, None, 3], pa.int64()),
    "int": pa.array([1, 2, 3], pa.int32()),
    "short": pa.array([1, 2, 3], pa.int16()),
    "byte": pa.array([1, 2, 3], pa.int8()),
    "double": pa.array([1.5, float("nan"), -0.0]),
    "double with null": pa.array([1.5, None, 2.0]),
    "float": pa.array([1, 2, 3], pa.float32()),
    "boolean": pa.array([True, None, True]),
    "text": pa.array(["a", "é", None]),
    "same text": pa.array(["", "x", "x"]),
    "binary": pa.array([b"a", None, b""]),
    "date": pa.array([datetime.date(2020, 1, 1), None, datetime.date(9999, 12, 31)]),
    "timestamp": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
    "decimal": pa.array([D("1.50"), None, None], pa.decimal128(10, 2)),
    "list": pa.array([[1], None, []], pa.list_(pa.int64())),
    "struct": pa.array([{"a": 1}, None, {"a": 2}], pa.struct([("a", pa.int64())])),
}
SERIES = [
    pd.Series([1, 2, 3]),
    pd.Series([1.0, np.nan, 3]),
    pd.Series([1, None, 3], dtype=object),
    pd.Series(["a", None, "b"]),
    pd.Series(["a", 1, "b"]),
    pd.Series(["a", np.nan, pd.NA], dtype=object),
    pd.Series(["a", pd.NaT, D("NaN")], dtype=object),
    pd.Series(["\ud800", "b", "c"]),
    pd.Series([b"a", b"b", None]),
    pd.Series([True, False, True]),
    pd.Series([], dtype=float),
    pd.Series([1, 2, 300], dtype="int16"),
    pd.Series([1, 2, 3], dtype="uint8"),
    pd.Series([1, 2, 3], dtype="Int64"),
    pd.Series(["a", "b", "a"], dtype="category"),
    pd.Series(pd.to_datetime(["2020-01-01", None, "2021-01-01"])),
    pd.Series([1, 2, 3], index=[5, 6, 7]),
    pd.Series(np.array([1.0, 2, 3], dtype=">f8")),
    pd.Series(np.arange(6.0)[::2]),
    [1, 2, 3],
]


class Derived(pd.Series):
    """A job's own kind of Series."""

    @property
    def _constructor(self):
        return Derived


INDEXER = type(SERIES[0].iloc)
KEYS = [
    *(slice(a, b) for a in (0, 1, -1, 3, 9, np.int64(1), np.int32(2)) for b in (0, 2, -1, 9, np.int64(3), np.int32(1))),
    *(slice(None, 2), slice(1, None), slice(0, 3, 2), slice("a", "b"), slice(0.0, 1.0), slice(np.int8(0), np.int8(2))),
    *(1, -1, 9, [0, 2], "a", (slice(0, 2),), (0, 0), np.array([True, False, True])),
]
OPERATORS = [f"__{side}{name}__" for name in ("add", "sub", "mul", "truediv") for side in ("", "r")]
SCALARS = [
    *(2, -1, 0, True, 2**53, 2**63, 10**30, 1.5, 0.0, -0.0, float("nan"), float("inf"), "a", None, pd.NA, D("1.5")),
    *(np.int64(2), np.float64(0), np.float32(0.1), np.int8(100), np.array(2.0), [1, 2, 3], (1.0, 2.0, 3.0), range(3)),
    *(np.arange(3.0), pd.Index([1, 2, 3]), pd.Timedelta(1), pd.DataFrame({"x": [1.0, 2, 3]}), 1j),
]
KINDS = [
    types.LongType(),
    types.DoubleType(),
    types.FloatType(),
    types.ShortType(),
    types.BooleanType(),
    types.StringType(),
    types.DateType(),
    types.DecimalType(10, 2),
]


@pytest.fixture(scope="module")
def pairs():
    """PySpark's functions and pandas' own, each with the guest's."""
    to_arrow, transformer = conversion.PandasToArrowConversion, conversion.ArrowBatchTransformer
    places = [(to_arrow, "convert"), (transformer, "to_pandas"), (pd, "concat"), (INDEXER, "__getitem__")]
    places += [(pd.Series, name) for name in OPERATORS]
    raw = [place.__dict__.get(name) for place, name in places]
    theirs = [getattr(place, name) for place, name in places]
    davy_pandas.install()
    ours = [getattr(place, name) for place, name in places]
    for (place, name), function in zip(places, raw, strict=True):
        if function is None:
            delattr(place, name)  # inherited before
        else:
            setattr(place, name, function)
    assert all(a is not b for a, b in zip(theirs, ours, strict=True))
    names = ("to_arrow", "to_pandas", "concat", "iloc", *OPERATORS)
    return dict(zip(names, zip(theirs, ours, strict=True), strict=True))


def shown(value):
    """All that a function can see of it."""
    if isinstance(value, list):
        return [shown(v) for v in value]
    if isinstance(value, pa.RecordBatch):
        return value.schema, repr(value.to_pylist()), [c.null_count for c in value.columns]
    if isinstance(value, pd.DataFrame):
        blocks = [(str(b.values.dtype), b.values.shape, tuple(b.mgr_locs)) for b in value._mgr.blocks]
        columns = [shown(value.iloc[:, i]) for i in range(value.shape[1])]
        return type(value.index), value.columns.dtype, list(value.columns), sorted(blocks), columns, value.attrs
    if isinstance(value, pd.Series):
        values = [(type(v), repr(v)) for v in value.tolist()]
        writable = getattr(getattr(value._values, "flags", None), "writeable", None)
        return value.dtype, value.name, type(value.index), list(value.index), values, writable
    return value


def outcome(function, *args, **options):
    try:
        return shown(function(*args, **options))
    except Exception as raised:
        return type(raised), str(raised)


@pytest.mark.parametrize("name", COLUMNS)
def test_to_pandas(pairs, name):
    theirs, ours = pairs["to_pandas"]
    for (start, stop), copies, extension in itertools.product([(0, 3), (1, 3), (0, 0)], (0, 1, 2), (False, True)):
        column = COLUMNS[name][start:stop]
        batch = pa.record_batch([column, column], [name, "other"])
        if copies:
            batch = pa.Table.from_batches([batch] * copies)
        options = {"timezone": "America/Los_Angeles", "prefer_int_ext_dtype": extension}
        assert outcome(ours, batch, **options) == outcome(theirs, batch, **options)


def test_iloc(pairs):
    """What a function sees of the rows of a window, and whether they are the series' own memory."""
    theirs, ours = pairs["iloc"]
    named = pd.Series([1.5, 2.5, 3.5], name="x")
    marked, single = named.copy(), named.set_flags(allows_duplicate_labels=False)
    marked.attrs["unit"] = "m"
    frame = pd.DataFrame({"x": [1, 2, 3]})

    def look(function, whole, key):
        found = function(whole.iloc, key)
        shares = isinstance(found, pd.Series) and np.shares_memory(found.to_numpy(), whole.to_numpy())
        shown_as = found if isinstance(found, (pd.Series, pd.DataFrame)) else repr(found)
        return [shown_as, shares, getattr(found, "attrs", None), getattr(found, "flags", None)]

    for whole in [*(s for s in SERIES if isinstance(s, pd.Series)), named, marked, single, frame]:
        for key in KEYS:
            assert outcome(look, ours, whole, key) == outcome(look, theirs, whole, key), key


@pytest.mark.parametrize("name", OPERATORS)
def test_arithmetic(pairs, name):
    theirs, ours = pairs[name]
    x = pd.Series([1.5, np.nan, -0.0], name="x")
    whole = pd.Series([2**62, -(2**63), 0], name="x")
    marked, single, sub = x.copy(), x.set_flags(allows_duplicate_labels=False), Derived([1.0, 2.0, 3.0])
    marked.attrs["unit"] = "m"
    renamed = [x.rename(n) for n in ("y", None, 1, ("x", "y"), np.nan)]
    indexed = [x.set_axis(i) for i in ([0, 1, 2], [2, 1, 0], range(1, 4), range(0, 6, 2), pd.RangeIndex(3, name="n"))]
    series = [*(s for s in SERIES if isinstance(s, pd.Series)), x, whole, marked, single, sub, *renamed, *indexed]

    def look(function, left, right):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found = function(left, right)
        said = [(w.category, str(w.message)) for w in heard]
        if not isinstance(found, pd.Series):
            return repr(found), said
        same = [
            found.index is left.index,
            type(found),
            found.attrs,
            found.flags.allows_duplicate_labels,
            found.index.name,
        ]
        return [found, same, said]

    for left in series:
        for right in [left, *series, *SCALARS]:
            assert outcome(look, ours, left, right) == outcome(look, theirs, left, right), (left, right)


def test_concat(pairs):
    theirs, ours = pairs["concat"]
    random = np.random.default_rng(1)
    batch = pa.record_batch(list(COLUMNS.values()), list(COLUMNS))
    every = pairs["to_pandas"][0](batch, timezone="UTC")
    for _ in range(300):
        some = [every[i] for i in random.choice(len(every), random.integers(0, 6))]
        change = random.random()
        if some and change < 0.15:
            some[0] = some[0].iloc[1:]  # another index
        elif some and change < 0.3:
            some[0] = some[0].rename(None)
        assert outcome(ours, list(some), axis=1) == outcome(theirs, list(some), axis=1)


@pytest.mark.parametrize("number", range(len(SERIES)))
def test_to_arrow(pairs, number):
    theirs, ours = pairs["to_arrow"]
    series = SERIES[number]
    for kind, safe, cast, large, by_name in itertools.product(KINDS, *[(True, False)] * 4):
        two = types.StructType([types.StructField("a", kind), types.StructField("b", kind)])
        one = types.StructType([types.StructField("_0", two)])
        options = {"timezone": "UTC", "safecheck": safe, "arrow_cast": cast, "prefers_large_types": large}
        options["assign_cols_by_name"] = by_name
        calls = [([series, series], two), ([series], two)]
        if isinstance(series, pd.Series):
            for names in (("a", "b"), ("b", "a"), (0, 1), ("a",), ("a", "b", "c")):
                frame = pd.DataFrame(dict.fromkeys(names, series))
                calls += [([frame], one), (frame, two)]
        for data, schema in calls:
            assert outcome(ours, data, schema, **options) == outcome(theirs, data, schema, **options)
