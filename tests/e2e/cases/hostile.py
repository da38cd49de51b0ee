"""User code that misbehaves: limits with their numbers, workers that die, and a session that goes on."""

from cases.refused import attempt
from harness.registry import case


def endless_loop(_):
    while True:
        pass


def endless_sleep(_):
    import time

    time.sleep(3600)


def endless_regex(_):
    import re

    return re.match(r"(a+)+$", "a" * 64 + "!")


def endless_catching(_):
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


def memory_bomb(_):
    hoard = []
    while True:
        hoard.append(bytearray(16 << 20))


def memory_bomb_at_once(_):
    return len(b"x" * (3 << 30))


def memory_bomb_of_small_objects(_):
    hoard = []
    while True:
        hoard.append([len(hoard)] * 50)


def memory_bomb_of_numpy(_):
    import numpy as np

    hoard = []
    while True:
        hoard.append(np.ones(1 << 20))


def memory_bomb_of_arrow(_):
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.array(["davy"] * 1000)
    while True:
        column = pc.binary_join_element_wise(column, column, "-")


def memory_error_caught(_):
    try:
        return len(bytearray(1 << 30))
    except MemoryError:
        return "caught"


def too_much_output(_):
    return b"x" * (20 << 20)


def os_exit(_):
    import os

    os._exit(1)


def os_exit_zero(_):
    import os

    os._exit(0)


def os_abort(_):
    import os

    os.abort()


def deep_c_recursion(_):
    import sys

    sys.setrecursionlimit(10**8)

    def f(n):
        return f(n + 1)

    return f(0)


def null_pointer(_):
    import ctypes

    return ctypes.cast(0, ctypes.py_object).value


def bad_bytecode(_):
    def f():
        pass

    f.__code__ = f.__code__.replace(co_code=b"\x64\xff\xff\xff" * 40, co_stacksize=1)
    return f()


def close_descriptors(_):
    import os

    for fd in range(64):
        try:
            os.close(fd)
        except OSError:
            pass
    return "closed"


def write_to_every_descriptor(_):
    import os

    wrote = []
    for fd in range(3, 64):
        try:
            os.write(fd, b"garbage")
            wrote.append(fd)
        except OSError:
            pass
    return wrote


def break_the_worker(_):
    import sys

    import pyspark.worker

    pyspark.worker.__dict__.clear()
    sys.modules.clear()
    return 1


def fill_scratch(_):
    with open("/tmp/big", "wb") as out:
        for _ in range(4000):
            out.write(b"x" * (1 << 20))
    return "wrote 4 GB"


def fill_scratch_with_small_files(_):
    import os

    for n in range(100_000):
        os.symlink("nowhere", f"/tmp/link{n}")
    return "made 100,000"


def fill_scratch_with_removed_files(_):
    import tempfile

    kept = []
    for _ in range(100):
        kept.append(tempfile.TemporaryFile())  # noqa: SIM115
        kept[-1].write(b"x" * (1 << 20))
        kept[-1].flush()
    return "wrote 100 MB"


def use_scratch_again_and_again(_):
    import os

    for _ in range(50):
        with open("/tmp/part", "wb") as out:
            out.write(b"x" * (16 << 20))
        os.remove("/tmp/part")
    return "wrote 800 MB"


def nest_folders(_):
    import os

    inner = "/tmp/deepest"
    os.mkdir(inner)
    for n in range(3000):
        outer = f"/tmp/outer{n}"
        os.mkdir(outer)
        os.rename(inner, f"{outer}/in")
        inner = outer
    with open("/tmp/big", "wb") as out:
        out.write(b"x" * (64 << 20))
    return "made 3,000"


def many_open_files(_):
    import tempfile

    return len([tempfile.TemporaryFile() for _ in range(5000)])  # noqa: SIM115


ATTEMPTS = {
    name: f
    for name, f in list(globals().items())
    if callable(f) and getattr(f, "__module__", None) == __name__ and name not in ("attempt", "case")
}


def _attempt(work):
    def run(spark):
        return attempt(spark, work)

    run.__module__ = __name__
    return run


# Only these may meet the deadline: a slow machine needs its time for the other limits.
ENDLESS = {"endless_loop", "endless_sleep", "endless_regex", "endless_catching", "deep_c_recursion"}

for _name, _work in ATTEMPTS.items():
    case("deadline" if _name in ENDLESS else "limited", name=_name, seconds=40)(_attempt(_work))
case("cpu", name="cpu_time", seconds=40)(_attempt(endless_loop))


@case("deadline", seconds=40)
def endless_generator(spark):
    """take(5) is satisfied, and count() runs into a limit."""

    def forever(rows):
        while True:
            yield b"x" * 1000

    rdd = spark.sparkContext.parallelize([1], 1).mapPartitions(forever)
    taken = len(rdd.take(5))
    try:
        said = str(rdd.count())
    except Exception as raised:
        from harness.outcome import error

        said = error(raised)["message"]
    return {"taken": taken, "said": said, "alive": attempt(spark, lambda _: 1)["alive"]}


@case("limited", seconds=40)
def error_text_with_a_lone_surrogate(spark):
    """Stock never ends here: its worker cannot encode the message."""

    def work(_):
        raise ValueError("lone \ud800")

    return attempt(spark, work)


@case("limited", seconds=60)
def one_bad_task_among_good_ones(spark):
    """The sandboxes of one executor do not share their fate."""
    from concurrent.futures import ThreadPoolExecutor

    sc = spark.sparkContext

    def bad():
        try:
            sc.parallelize([0], 1).map(memory_bomb).collect()
            return "allowed"
        except Exception:
            return "refused"

    def good():
        return [sc.parallelize(range(100), 4).map(lambda x: x).sum() for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(bad), pool.submit(good)
        return {"said": f"{first.result()} {second.result()}", "alive": True}


@case("deadline", seconds=60)
def long_task_under_the_deadline(spark):
    """The deadline is one task's, not the executor's or the worker's life."""
    import time

    def work(rows):
        import time

        time.sleep(1)
        return rows

    began = time.monotonic()
    rows = spark.sparkContext.parallelize(range(16), 16).mapPartitions(work).count()
    return {"said": f"{rows} {time.monotonic() - began > 4}", "alive": True}


def _slow(seconds):
    def work(batches):
        import time

        for batch in batches:
            time.sleep(seconds)
            yield batch

    return work


@case("call_deadline", name="slow_call", seconds=60)
def slow_call(spark):
    from harness.outcome import error

    rows = spark.range(0, 3, 1, 1)
    try:
        said = str(rows.mapInArrow(_slow(30), rows.schema).count())
    except Exception as raised:
        said = error(raised)["message"]
    return {"said": said, "alive": attempt(spark, lambda _: 1)["alive"]}


@case("call_deadline", seconds=60)
def short_calls_of_a_long_task(spark):
    """Batches that Spark sends at once are a call each as soon as one has given something."""
    import time

    rows = spark.range(0, 10, 1, 1)
    began = time.monotonic()
    count = rows.mapInArrow(_slow(0.5), rows.schema).count()
    return {"said": f"{count} {time.monotonic() - began > 4}", "alive": True}
