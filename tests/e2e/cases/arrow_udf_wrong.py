"""A value of each Python type returned as each declared type by a UDF whose values travel as Arrow."""

from pyspark.sql.functions import udf

from cases.attempts import attempts
from cases.types_wrong import RETURNED
from harness.registry import case

# What converts, and one value of each way to fail: a failure costs stock a new process.
RETURNS = {
    "boolean": "none bool int float nan str_1 int_2_70 str list object",
    "int": "none int float str_1 date decimal bool int_2_40 nan str",
    "long": "int_2_40 datetime timedelta decimal_long int_2_70 bytes",
    "double": "bool int nan str_1 decimal decimal_long tuple",
    "string": "none bool int int_2_70 float nan bytes date datetime timedelta decimal list_mixed dict row object",
    "binary": "none bytes bytearray str int list",
    "decimal(10,1)": "none decimal decimal_long int float str_1 decimal_nan",
    "date": "int float date datetime decimal str timedelta",
    "timestamp": "none date datetime int_2_40 int str timedelta",
    "timestamp_ntz": "none date datetime float str",
    "interval day to second": "none timedelta int float datetime",
    "array<int>": "none list tuple array_i list_mixed dict int",
    "map<string,int>": "none dict list tuple row",
    "struct<a:int,b:string>": "none row tuple dict tuple_short list_mixed int",
}  # fmt: skip
LEGACY = {
    "int": "bool float str_1 nan",
    "string": "int bytes row",
    "timestamp": "date int str",
    "array<int>": "tuple array_i int",
}


def _row(declared, names):
    def run(spark):
        frame = spark.range(0, 1, 1, 1)

        def one(value):
            f = udf(lambda _, value=value: value, declared, useArrow=True)
            return frame.select(f("id").alias("v")).collect()[0].v

        return attempts({name: lambda value=RETURNED[name]: one(value) for name in names.split()})

    run.__module__ = __name__
    return run


for _declared, _names in RETURNS.items():
    # The oldest version converts by way of pandas, the newest does not unless told.
    case("default", name=f"as_{_declared}")(_row(_declared, _names))
for _declared, _names in LEGACY.items():
    case("legacy_arrow", since="4.1", name=f"legacy_{_declared}")(_row(_declared, _names))


@case()
def wrong_in_one_row_of_many(spark):
    """A null, an overflow or a text among good values: the batch fails or not as a whole."""
    good = [1, 2, 3, 4]
    frame = spark.range(0, 5, 1, 1)

    def mixed(odd, kind):
        return frame.select(udf(lambda x: [*good, odd][x], kind, useArrow=True)("id").alias("v")).collect()

    odds = [(None, "int"), ("5", "int"), ("x", "int"), (5.5, "int"), (2**31, "int"), (b"5", "string"), (5.5, "double")]
    return attempts({f"{odd!r} {kind}": lambda odd=odd, kind=kind: mixed(odd, kind) for odd, kind in odds})


@case()
def unsafe_casts_allowed(spark):
    """`arrow.safeTypeConversion` decides whether a lossy cast is an error."""
    found = {}
    for safe in ("true", "false"):
        spark.conf.set("spark.sql.execution.pandas.convertToArrowArraySafely", safe)
        try:
            frame = spark.range(0, 1, 1, 1)
            table = {}
            for value, kind in ((1.5, "int"), (2**40, "int"), (300, "byte"), (1e30, "float")):
                f = udf(lambda _, value=value: value, kind, useArrow=True)
                table[f"{value} {kind}"] = lambda f=f: frame.select(f("id")).collect()
            found[safe] = attempts(table)
        finally:
            spark.conf.unset("spark.sql.execution.pandas.convertToArrowArraySafely")
    return found
