"""What the user sees when their code fails: class, message, own line numbers."""

import logging
import sys

from pyspark.sql.functions import udf

from harness.registry import case


class PriceError(Exception):
    """An exception of the driver's script, with state."""

    def __init__(self, symbol, price):
        super().__init__(symbol, price)
        self.symbol = symbol

    def __str__(self):
        return f"bad price for {self.symbol} «€»"


def _value():
    raise ValueError("plain")


def _custom():
    raise PriceError("ÄB", -1)


def _chained():
    try:
        {}["mïssing\nkey 'quoted'"]
    except KeyError as e:
        raise RuntimeError("outer") from e


def _during():
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        raise TypeError("while handling")  # noqa: B904


def _syntax():
    exec("def f(:\n  pass")


def _eval_error():
    eval("1 +")


def _name():
    return no_such_name  # noqa: F821


def _attribute():
    return None.attribute


def _import():
    import pyspark.no_such_part  # noqa: F401


def _unicode():
    raise ValueError("東京 \U0001f600 é \u202e rtl \x00 nul \x1b[31m")


def _long():
    raise ValueError("x" * 5000)


def _empty():
    raise Exception


def _notes():
    e = ValueError("noted")
    e.add_note("a nöte")
    raise e


def _group():
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])


def _os_error():
    open("/no/such/file")


def _unprintable():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    raise Odd


def _sys_exit():
    sys.exit(3)


def _system_exit_text():
    raise SystemExit("byé")


def _keyboard():
    raise KeyboardInterrupt


def _generator_exit():
    raise GeneratorExit


def _stop_iteration():
    raise StopIteration("early")


def _assertion():
    assert 1 == 2, "ässert"


def _decode():
    b"\xff".decode()


def _overflow():
    return 2.0**10_000


def _nested_frames():
    def a(n):
        return b(n - 1) if n else _value()

    def b(n):
        return (lambda: a(n))()

    return a(3)


def _comprehension():
    return [1 / x for x in (2, 1, 0)]


def _in_generator():
    def g():
        yield 1
        raise LookupError("in a generator")

    return sum(g())


def _deep_recursion_message():
    import json

    json.loads("[" * 3 + "x")


def _warning_as_error():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.warn("wärned", UserWarning, stacklevel=1)


FAILURES = {
    name[1:]: f
    for name, f in list(globals().items())
    if name.startswith("_") and callable(f) and getattr(f, "__module__", None) == __name__
}
DIFFERS = {"os_error": "Davy says that the path is not granted"}


def _in_rdd(fail):
    def run(spark):
        def work(x):
            if x == 7:
                fail()
            return x

        return spark.sparkContext.parallelize(range(10), 2).map(work).collect()

    run.__module__ = __name__
    return run


def _in_udf(fail):
    def run(spark):
        @udf("int", useArrow=False)
        def work(x):
            if x == 7:
                fail()
            return x

        return spark.range(0, 10, 1, 2).select(work("id")).collect()

    run.__module__ = __name__
    return run


for _kind, _fail in FAILURES.items():
    _differs = DIFFERS.get(_kind)
    case("default", name=f"rdd_{_kind}", differs=_differs, cluster=_kind in ("value", "custom"))(_in_rdd(_fail))
    case("default", name=f"udf_{_kind}", differs=_differs)(_in_udf(_fail))


@case()
def works_after_all_those(spark):
    return spark.range(3).select(udf(lambda x: x + 1, "long", useArrow=False)("id")).collect()


@case("no_reuse")
def without_reuse(spark):
    return _in_udf(_custom)(spark)


@case()
def mid_partition_after_output(spark):
    """Rows already produced do not hide a failure that comes later."""

    def work(rows):
        for row in rows:
            if row == 90_000:
                raise ValueError(f"row {row}")
            yield "x" * 100

    return spark.sparkContext.parallelize(range(100_000), 1).mapPartitions(work).count()


@case()
def unpicklable_function(spark):
    lock = open(__file__)  # noqa: SIM115
    try:
        return spark.sparkContext.parallelize([1]).map(lambda x: (x, lock)).collect()
    finally:
        lock.close()


@case()
def unpicklable_result(spark):
    return spark.sparkContext.parallelize([1], 1).map(lambda x: (i for i in range(x))).collect()


@case()
def unpicklable_result_of_udf(spark):
    return spark.range(1).select(udf(lambda x: (i for i in range(3)), "string", useArrow=False)("id")).collect()


@case()
def wrong_number_of_arguments(spark):
    return spark.range(1).select(udf(lambda a, b: a, "int", useArrow=False)("id")).collect()


@case()
def class_known_only_to_the_task(spark):
    def work(x):
        class Local:
            def __init__(self):
                self.x = x

            def __repr__(self):
                return f"Local({self.x})"

        return Local()

    return [repr(v) for v in spark.sparkContext.parallelize([1, 2], 1).map(work).collect()]


@case()
def error_in_partitioner_and_key(spark):
    pairs = spark.sparkContext.parallelize([(1, 1)], 1)
    return pairs.partitionBy(2, lambda k: k / 0).collect()


@case()
def unhashable_key(spark):
    return spark.sparkContext.parallelize([([1], 1)], 1).reduceByKey(lambda a, b: a).collect()


@case()
def error_in_combiner(spark):
    return spark.sparkContext.parallelize([(1, 1), (1, "a")], 2).reduceByKey(lambda a, b: a + b).collect()


@case()
def error_in_unpickling(spark):
    class Fragile:
        def __reduce__(self):
            return (_value, ())

    fragile = Fragile()
    return spark.sparkContext.parallelize([1], 1).map(lambda x: (x, fragile)).collect()


@case("default")
def simplified_traceback(spark):
    spark.conf.set("spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled", "false")
    try:
        return _in_udf(_nested_frames)(spark)
    finally:
        spark.conf.unset("spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled")


@case()
def logging_level_untouched(spark):
    def work(_):
        return logging.getLogger().level, [type(h).__name__ for h in logging.getLogger().handlers]

    return spark.sparkContext.parallelize([0], 1).map(work).collect()
