"""A value of each Python type returned as each declared type: what Spark makes
of it (a null, a cast, an error) is the contract, odd as it may be."""

import array
import datetime
import decimal

from pyspark.sql import Row
from pyspark.sql.functions import udf

from harness.registry import case

RETURNED = {
    "none": None,
    "bool": True,
    "int": 1,
    "int_300": 300,
    "int_2_40": 2**40,
    "int_2_70": 2**70,
    "float": 1.5,
    "nan": float("nan"),
    "str": "a",
    "str_1": "1",
    "bytes": b"ab",
    "bytearray": bytearray(b"ab"),
    "date": datetime.date(1970, 1, 2),
    "datetime": datetime.datetime(1970, 1, 2, 3, 4, 5),
    "timedelta": datetime.timedelta(days=1),
    "decimal": decimal.Decimal("1.25"),
    "decimal_long": decimal.Decimal("1." + "1" * 40),
    "decimal_nan": decimal.Decimal("NaN"),
    "list": [1],
    "list_mixed": [1, "a", None],
    "tuple": (1, "a"),
    "tuple_short": (1,),
    "dict": {"a": 1},
    "row": Row(a=1, b="x"),
    "array_i": array.array("i", [1, 2]),
    "array_d": array.array("d", [1.0]),
    "complex": 1j,
    "set": {1},
    "range": range(2),
    "object": object,
}
DECLARED = [
    "boolean", "byte", "short", "int", "long", "float", "double", "string", "binary", "decimal(10,1)", "date",
    "timestamp", "timestamp_ntz", "interval day to second", "array<int>", "map<string,int>", "struct<a:int,b:string>",
]  # fmt: skip


def _row(declared):
    def run(spark):
        from harness.outcome import canonical, error, scrub

        frame = spark.range(1)
        found = {}
        for name, value in RETURNED.items():
            one = udf(lambda _, value=value: value, declared, useArrow=False)
            try:
                found[name] = scrub(canonical(frame.select(one("id").alias("v")).collect()[0].v))
            except Exception as raised:
                found[name] = str(error(raised))
        return found

    run.__module__ = __name__
    return run


for _declared in DECLARED:
    # One Spark version is enough: it takes hundreds of queries.
    case("default", since="4.1", name=f"as_{_declared}", seconds=240)(_row(_declared))
