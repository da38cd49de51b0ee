"""Packages with compiled parts that a job brings along, and what becomes of them. Only Davy's."""

import os
import tempfile
import zipfile

from cases.packages import Python
from cases.refused import attempt
from harness.outcome import error
from harness.registry import case

MACHINE_CODE = b"\x7fELF"
NAME = "cpython-311-x86_64-linux-gnu.so"


def zipped(folder, name, files):
    path = os.path.join(folder, name)
    with zipfile.ZipFile(path, "w") as z:
        for file, content in files.items():
            z.writestr(file, content)
    return path


@case(seconds=60)
def sklearn(spark):
    files = {
        "sklearn/__init__.py": "__version__ = '9.9'\n",
        "sklearn/stats/__init__.py": "from sklearn._lib import _ccallback_c\n",
        "sklearn/_lib/__init__.py": "",
        f"sklearn/_lib/_ccallback_c.{NAME}": MACHINE_CODE,
    }
    with tempfile.TemporaryDirectory() as folder:
        spark.sparkContext.addPyFile(zipped(folder, "sklearn-9.9.zip", files))

        def work(_):
            import sklearn.stats

            return sklearn.stats

        return attempt(spark, work)


@case(seconds=60)
def a_part_that_lxml_lacks(spark):
    with tempfile.TemporaryDirectory() as folder:
        spark.sparkContext.addPyFile(zipped(folder, "lxml-9.9.zip", {"lxml/__init__.py": ""}))

        def work(_):
            import lxml.etree

            return lxml.etree

        return attempt(spark, work)


@case(seconds=60)
def numpy(spark):
    """The image's own is imported before any task: it is used."""
    files = {
        "numpy/__init__.py": "__version__ = '9.9'\nfrom . import _core\n",
        f"numpy/_core.{NAME}": MACHINE_CODE,
    }
    with tempfile.TemporaryDirectory() as folder:
        spark.sparkContext.addPyFile(zipped(folder, "numpy-9.9.zip", files))

        def work(_):
            import numpy

            return numpy.__version__, int(numpy.arange(4).sum())

        return attempt(spark, work)


@case(seconds=60)
def numpy_imported_from_there(spark):
    """Its compiled part is named, and the image's own release."""
    files = {
        "numpy/__init__.py": "__version__ = '9.9'\nfrom . import _of_another_release\n",
        f"numpy/_of_another_release.{NAME}": MACHINE_CODE,
    }
    with tempfile.TemporaryDirectory() as folder:
        spark.sparkContext.addPyFile(zipped(folder, "numpy-9.9.1.zip", files))

        def work(_):
            import sys

            for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
                del sys.modules[name]
            import numpy

            return numpy

        return attempt(spark, work)


@case(seconds=60)
def environment_of_another_python(spark):
    sc = spark.sparkContext
    with tempfile.TemporaryDirectory() as folder:
        files = {"lib/python3.12/site-packages/tariffs.py": "", "bin/python": MACHINE_CODE}
        sc.addArchive(zipped(folder, "env_of_3_12.zip", files) + "#env_of_3_12")
        with Python(sc, "env_of_3_12"):
            try:
                said = f"allowed: {sc.parallelize([0], 1).map(abs).collect()}"
            except Exception as raised:
                said = error(raised)["message"]
    return {"said": said, "alive": attempt(spark, lambda _: 1)["alive"]}
