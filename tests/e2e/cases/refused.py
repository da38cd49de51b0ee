"""What a sandbox does not grant.  Each attempt is caught on the driver, its text
is pinned by `test_refused.py`, and the same session then runs a normal job."""

import os
import tempfile
import zipfile

from pyspark.sql.functions import udf

from harness.registry import case


def attempt(spark, work, expected=None):
    """The error's last words (or what was allowed), and whether the session lives on."""
    sc = spark.sparkContext
    try:
        said = f"allowed: {sc.parallelize([0], 1).map(work).collect()[0]!r}"
    except Exception as raised:
        from harness.outcome import error

        said = error(raised)["message"]
    add = udf(lambda x: x + 1, "long", useArrow=False)
    alive = [r[0] for r in spark.range(0, 6, 1, 3).select(add("id")).collect()] == [1, 2, 3, 4, 5, 6]
    return {"said": said, "alive": alive}


def read_passwd(_):
    return open("/etc/passwd").read()


def read_proc(_):
    return open("/proc/self/environ", "rb").read()


def read_relative_escape(_):
    import os

    return open(os.path.join(os.getcwd(), "../../../../../../../../etc/passwd")).read()


def list_root(_):
    import os

    names = set(os.listdir("/"))
    # The guest's own root: its library folder and scratch, nothing of the host's.
    return sorted(names & {"etc", "root", "home", "proc", "sys", "dev", "bin", "var", "boot"})


def list_home(_):
    import os

    return os.listdir(os.path.expanduser("~root"))


def host_environment(_):
    import os

    own = {"PATH", "HOME", "USER", "E2E_HOST_SECRET", "JAVA_HOME", "SPARK_HOME", "LD_PRELOAD"}
    return sorted(set(os.environ) & own)


def use_socket(_):
    import socket

    return socket.create_connection(("127.0.0.1", 1), timeout=1)


def resolve_name(_):
    import socket

    return socket.gethostbyname("localhost")


def use_urllib(_):
    import urllib.request

    return urllib.request.urlopen("http://127.0.0.1:1/", timeout=1)


def run_subprocess(_):
    import subprocess

    return subprocess.run(["id"], capture_output=True)


def run_os_system(_):
    import os

    return os.system("id")


def run_fork(_):
    import os

    return os.fork()


def run_exec(_):
    import os

    return os.execv("/bin/sh", ["sh", "-c", "id"])


def start_thread(_):
    import threading

    thread = threading.Thread(target=print)
    thread.start()
    return thread.join()


def start_pool(_):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        return pool.submit(len, "ab").result()


def use_multiprocessing(_):
    import multiprocessing

    process = multiprocessing.Process(target=print)
    process.start()
    return process.exitcode


def load_library(_):
    import ctypes

    return ctypes.CDLL("libc.so.6")


def read_memory(_):
    import ctypes

    return ctypes.string_at(0, 8)


def write_outside(_):
    with open("/var/davy-escape", "w") as out:
        return out.write("x")


def write_beside_files(_):
    import os

    from pyspark import SparkFiles

    with open(os.path.join(SparkFiles.getRootDirectory(), "planted"), "w") as out:
        return out.write("x")


def symlink_out(_):
    import os
    import tempfile

    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink("/etc", link)
    return os.listdir(link)


def hard_link_out(_):
    import os
    import tempfile

    name = os.path.join(tempfile.mkdtemp(), "link")
    os.link("/etc/passwd", name)
    return open(name).read()


def change_directory(_):
    import os

    os.chdir("/etc")
    return os.listdir(".")


def signal_parent(_):
    import os

    return os.kill(os.getppid() if hasattr(os, "getppid") else 1, 0)


def tamper_with_image(_):
    import json
    import os

    path = os.path.dirname(json.__file__) + "/planted.py"
    with open(path, "w") as out:
        return out.write("x")


def archive_outside(_):
    import shutil

    return shutil.make_archive("/var/davy-archive", "zip", "/")


def call_back_elsewhere(_):
    import _davy

    return _davy.gateway(3, b"/var/run/docker.sock")


def call_back_to_a_port(_):
    import _davy

    return _davy.gateway(3, b":22")


ATTEMPTS = {f.__name__: f for f in list(globals().values()) if callable(f) and f.__name__ != "attempt"}
ATTEMPTS = {name: f for name, f in ATTEMPTS.items() if f.__module__ == __name__}


def _attempt(work):
    def run(spark):
        return attempt(spark, work)

    run.__module__ = __name__
    return run


for _name, _work in ATTEMPTS.items():
    case("default", name=_name, seconds=30)(_attempt(_work))


@case(seconds=30)
def pipe(spark):
    said = None
    try:
        spark.sparkContext.parallelize(["a"], 1).pipe("cat").collect()
    except Exception as raised:
        from harness.outcome import error

        said = error(raised)["message"]
    return {"said": said, **{"alive": attempt(spark, lambda _: 1)["alive"]}}


@case("ports", seconds=60)
def barrier(spark):
    from pyspark import BarrierTaskContext

    def work(rows):
        BarrierTaskContext.get().barrier()
        return rows

    said = None
    try:
        said = spark.sparkContext.parallelize([1, 2], 2).barrier().mapPartitions(work).collect()
    except Exception as raised:
        from harness.outcome import error

        said = error(raised)["message"]
    return {"said": said, "alive": attempt(spark, lambda _: 1)["alive"]}


@case(seconds=60)
def native_module(spark):
    """A wheel for this machine, brought along as a package."""
    sc = spark.sparkContext
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "swiftsums.zip")
        with zipfile.ZipFile(path, "w") as z:
            z.writestr("swiftsums/__init__.py", "from ._sums import total\n")
            z.writestr("swiftsums/_sums.cpython-311-x86_64-linux-gnu.so", b"\x7fELF")
        sc.addPyFile(path)

        def work(_):
            import swiftsums

            return swiftsums.total

        return attempt(spark, work)


@case()
def orc(spark):
    def work(_):
        import pyarrow.orc

        return pyarrow.orc

    return attempt(spark, work)


@case()
def package_not_in_the_image(spark):
    def work(_):
        import scipy.stats

        return scipy.stats

    return attempt(spark, work)


@case(seconds=30)
def another_python_version(spark):
    sc = spark.sparkContext
    kept = sc.pythonVer
    sc.pythonVer = "3.12"
    try:
        sc.parallelize([0], 1).map(lambda x: x).collect()
        said = None
    except Exception as raised:
        from harness.outcome import error

        said = error(raised)["message"]
    finally:
        sc.pythonVer = kept
    return {"said": said, "alive": attempt(spark, lambda _: 1)["alive"]}


@case(seconds=30)
def another_python_version_in_a_udf(spark):
    sc = spark.sparkContext
    kept = sc.pythonVer
    sc.pythonVer = "3.10"
    try:
        spark.range(1).select(udf(lambda x: x, "long", useArrow=False)("id")).collect()
        said = None
    except Exception as raised:
        from harness.outcome import error

        said = error(raised)["message"]
    finally:
        sc.pythonVer = kept
    return {"said": said, "alive": attempt(spark, lambda _: 1)["alive"]}


@case(seconds=30)
def left_behind_for_another_session(spark):
    """Reused workers keep modules, as in stock; a kill or a limit ends the sandbox and all it held."""
    import os

    def leave(_):
        import builtins

        builtins.left_behind = "secret"
        os._exit(1)

    def find(_):
        import builtins

        return getattr(builtins, "left_behind", None)

    sc = spark.sparkContext
    try:
        sc.parallelize(range(4), 4).map(leave).collect()
    except Exception:
        pass
    return {"said": f"allowed: {set(sc.parallelize(range(8), 8).map(find).collect())}", "alive": True}
