"""What user code prints arrives in the executor's log.  Each line that counts holds MARK."""

import logging
import sys
import time
import warnings

from pyspark.sql.functions import udf

from harness.registry import case


@case(markers=True)
def printing(spark):
    def work(x):
        print(f"MARK-rdd {x} é東")
        return x

    return spark.sparkContext.parallelize(range(4), 2).map(work).collect()


@case(markers=True)
def to_stderr(spark):
    def work(x):
        print(f"MARK-err {x}", file=sys.stderr)
        sys.stderr.write(f"MARK-raw {x}\n")
        return x

    return spark.sparkContext.parallelize(range(2), 1).map(work).collect()


@case(markers=True)
def logging_in_udf(spark):
    @udf("int", useArrow=False)
    def work(x):
        logging.getLogger("my.app").warning("MARK-log %d «é»", x)
        logging.getLogger("my.app").debug("MARK-debug is not shown")
        return x

    return spark.range(2).select(work("id")).collect()


@case(markers=True)
def warnings_and_os_write(spark):
    def work(x):
        import os

        os.write(2, f"MARK-fd2 {x}\n".encode())
        # A warning repeats its source line where the file can be read, so the mark is not whole here.
        warnings.warn("MA" + f"RK-warning {x}", stacklevel=1)
        return x

    return spark.sparkContext.parallelize([1], 1).map(work).collect()


@case(markers=True)
def long_and_many_lines(spark):
    def work(x):
        print(f"MARK-long {x} " + "y" * 20_000)
        for i in range(300):
            print(f"MARK-many {x} {i}")
        return x

    return spark.sparkContext.parallelize([1, 2], 1).map(work).collect()


@case(markers=True)
def before_an_error(spark):
    def work(x):
        print("MARK-last words", flush=True)
        raise ValueError(x)

    return spark.sparkContext.parallelize([1], 1).map(work).collect()


@case(markers=True)
def without_newline_and_traceback(spark):
    def work(x):
        import traceback

        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            traceback.print_exc()
            # Stock's error and output are two pipes, and arrive mixed within a line when written at once.
            time.sleep(0.3)
            print("MARK-after traceback")
        sys.stdout.write("MARK-no newline")
        sys.stdout.flush()
        print()
        return x

    return spark.sparkContext.parallelize([1], 1).map(work).collect()


@case()
def standard_input(spark):
    def work(_):
        try:
            return repr(sys.stdin.read())
        except Exception as e:
            return type(e).__name__

    return spark.sparkContext.parallelize([1], 1).map(work).collect()
