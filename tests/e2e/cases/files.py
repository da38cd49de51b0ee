"""Files that a job ships to its executors."""

import atexit
import os
import shutil
import tempfile
import zipfile

from pyspark import SparkFiles
from pyspark.sql.functions import udf

from harness.registry import case


class Folder:
    """A folder that lives as long as the driver: an executor that starts later fetches what was shipped from it."""

    def __init__(self, within=None):
        self.within = within

    def __enter__(self):
        self.path = tempfile.mkdtemp(dir=self.within)
        return self

    def __exit__(self, *_):
        atexit.register(shutil.rmtree, self.path, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path


@case("default", "no_reuse", cluster=True)
def add_file(spark):
    sc = spark.sparkContext
    with Folder() as folder:
        sc.addFile(folder.write("rates.csv", "eur,1.5\nжπ,2\n"))

        def read(k):
            with open(SparkFiles.get("rates.csv"), encoding="utf-8") as rates:
                return dict(line.strip().split(",") for line in rates).get(k)

        root = sc.parallelize([0], 1).map(lambda _: os.listdir(SparkFiles.getRootDirectory())).first()
        return [sc.parallelize(["eur", "жπ", "x"], 2).map(read).collect(), "rates.csv" in root]


@case(cluster=True)
def add_folder(spark):
    sc = spark.sparkContext
    with Folder() as folder:
        os.mkdir(os.path.join(folder.path, "nested"))
        folder.write("nested/a.txt", "á")
        sc.addFile(os.path.join(folder.path, "nested"), recursive=True)

        def read(_):
            with open(os.path.join(SparkFiles.get("nested"), "a.txt"), encoding="utf-8") as f:
                return f.read()

        return sc.parallelize([0], 1).map(read).collect()


@case("default", "no_reuse", cluster=True)
def add_py_module(spark):
    sc = spark.sparkContext
    with Folder() as folder:
        sc.addPyFile(folder.write("pricing_rules.py", "RATE = 3\ndef price(x):\n    return x * RATE\n"))

        def work(x):
            from pricing_rules import price

            return price(x)

        return sc.parallelize(range(4), 2).map(work).collect()


@case(cluster=True)
def add_py_zip(spark):
    sc = spark.sparkContext
    with Folder() as folder:
        path = os.path.join(folder.path, "helpers.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("helpers_pkg/__init__.py", "from .deep import twice\n")
            z.writestr("helpers_pkg/deep.py", "def twice(x):\n    return 2 * x\n")
        sc.addPyFile(path)

        @udf("long", useArrow=False)
        def work(x):
            import helpers_pkg

            return helpers_pkg.twice(x)

        return spark.range(4).select(work("id")).collect()


@case()
def missing_module(spark):
    def work(x):
        import no_such_module_at_all

        return no_such_module_at_all.f(x)

    return spark.sparkContext.parallelize([1], 1).map(work).collect()


@case("archive", cluster=True)
def archive_of_pure_python(spark):
    def work(x):
        import json
        import sys

        # In a task the archive is unpacked beside the files; on a cluster also in the working folder.
        home = os.path.join(SparkFiles.getRootDirectory(), "toolbox", "lib/python3.11/site-packages")
        sys.path.insert(0, home)
        from toolbox import treble

        with open(os.path.join(home, "toolbox/table.json"), encoding="utf-8") as f:
            return (treble(x), json.load(f))

    return spark.sparkContext.parallelize(range(3), 2).map(work).collect()


@case()
def writing_scratch_files(spark):
    """A temporary file of one's own is the one thing every program may write."""

    def work(x):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "ünicode.txt")
            with open(path, "w", encoding="utf-8") as f:
                f.write("x" * x)
            os.rename(path, path + ".2")
            return (os.path.getsize(path + ".2"), os.listdir(d))

    return spark.sparkContext.parallelize([0, 10, 100_000], 1).map(work).collect()


@case()
def spooled_and_named_temporary_files(spark):
    def work(x):
        with tempfile.NamedTemporaryFile("w+") as f, tempfile.SpooledTemporaryFile(10) as s:
            f.write("é" * x)
            f.seek(0)
            s.write(b"0" * 100)
            s.seek(0)
            return (f.read(), len(s.read()))

    return spark.sparkContext.parallelize([3], 1).map(work).collect()
