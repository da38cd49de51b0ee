"""core/davy_values.c beside pyarrow, on random values: equal arrays, equal objects, equal errors.

In the guest, a session with "worker": "values_suite" prints one JSON line a case, like data_suite.
"""

import json
import random

import _davy
import davy_values
import numpy as np
import pyarrow as pa

KINDS = {
    **{pa.int8(): "b", pa.int16(): "h", pa.int32(): "i", pa.int64(): "q"},
    **{pa.float32(): "f", pa.float64(): "d", pa.string(): "U"},
}
WHOLE = [0, 1, -1, 127, 128, -128, -129, 2**15, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, -(2**63) - 1]
REAL = [0.0, -0.0, 1.5, float("nan"), float("inf"), 1e300]
TEXT = ["", "a", "hello", "é", "\ud800", "日本語" * 9, "x" * 40]
OTHERS = [True, b"x", np.int64(3), np.float64(2.5), np.float64("nan"), np.str_("s"), [1], object]
POOL = [None, *WHOLE, *REAL, *TEXT, *OTHERS]
ROUNDS = 1500


def outcome(make):
    """What can be seen of an array, or of the error in its place."""
    try:
        array = make()
    except Exception as error:
        return type(error), str(error)
    array.validate(full=True)
    return array.type, array.null_count, repr(array.to_pylist())


def values(rng):
    some = rng.sample(POOL, rng.randrange(1, 5))
    return [rng.choice(some) for _ in range(rng.randrange(12))]


def from_a_list(rng):
    kind, given = rng.choice(list(KINDS)), values(rng)

    def theirs():
        return pa.lib.array(given, type=kind)

    def ours():
        found = _davy.buffers(given, KINDS[kind], False)
        return theirs() if found is None else davy_values.array_of(kind, len(given), found)

    return outcome(ours), outcome(theirs)


def from_objects(rng):
    given = values(rng)
    objects = np.empty(len(given), object)
    objects[:] = given

    def theirs():
        return pa.lib.array(objects, type=pa.string(), from_pandas=True)

    def ours():
        found = _davy.buffers(objects, "U", True)
        return theirs() if found is None else davy_values.array_of(pa.string(), len(given), found)

    return outcome(ours), outcome(theirs)


def to_objects(rng):
    given = [rng.choice([None, "", "a", "é", "hello", "日本語" * 9]) for _ in range(rng.randrange(12))]
    column = pa.lib.array(given, type=pa.string()).slice(rng.randrange(len(given) + 1))
    objects = davy_values.fill_text(np.empty(len(column), object), column)
    return (davy_values.fill_text([None] * len(column), column), objects.tolist()), (column.to_pylist(),) * 2


def wrong(_):
    """Buffers that do not fit are an exception, never memory of others."""

    def message(*args):
        try:
            return _davy.text_into(*args)
        except Exception as error:
            return type(error).__name__

    def ends(*offsets):
        return np.array(offsets, np.int32)

    found = [
        message([None] * 3, None, ends(0, 1, 1), b"a", 0),
        message([None] * 2, None, ends(0, 1, 1), b"a", 1),
        message([None] * 2, None, ends(0, 1, 1), b"a", -1),
        message([None] * 2, b"", ends(0, 1, 1), b"a", 0),
        message([None] * 2, None, ends(0, 5, 9), b"abc", 0),
        message([None] * 2, None, ends(0, -1, 0), b"abc", 0),
        message([None], None, ends(0, 2), b"\xff\xfe", 0),
        message(np.zeros(2), None, ends(0, 0, 0), b"", 0),
        message((None,), None, ends(0, 0), b"", 0),
    ]
    return found, ["ValueError"] * 6 + ["UnicodeDecodeError", "TypeError", "TypeError"]


CASES = {"from a list": from_a_list, "from objects": from_objects, "to objects": to_objects, "wrong buffers": wrong}


def main(infile, outfile):
    infile.readline()
    rng, passed, failed = random.Random(20261122), 0, 0
    for name, case in CASES.items():
        detail = None
        for _ in range(ROUNDS):
            ours, theirs = case(rng)
            if ours != theirs:
                detail = f"{ours} is not {theirs}"
                break
        passed, failed = passed + (detail is None), failed + (detail is not None)
        outfile.write((json.dumps({"case": name, "ok": detail is None, "detail": detail}) + "\n").encode())
    outfile.write((json.dumps({"passed": passed, "failed": failed}) + "\n").encode())
    outfile.flush()
