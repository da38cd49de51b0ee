"""Packages that a job brings along: zip files, eggs, archives with a packed virtual environment."""

import os
import shutil
import subprocess
import sys
import zipfile

from pyspark import SparkFiles
from pyspark.sql.functions import udf

from cases.files import Folder
from harness.registry import case

PACKAGE = {
    "tariffs/__init__.py": "from .rates import rate\n__version__ = '1.2'\n",
    "tariffs/rates.py": "import pathlib\n\n\ndef rate(x):\n    return x * 3\n\n\n"
    "def table():\n    return (pathlib.Path(__file__).parent / 'table.txt').read_text('utf-8')\n",
    "tariffs/table.txt": "é 1\n",
    "tariffs-1.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: tariffs\nVersion: 1.2\n",
    # What pip leaves of a package that is installed for development.
    "developed.pth": "../developed\n",
    "../developed/on_the_side.py": "WHERE = 'beside site-packages'\n",
    # The standard library goes first: this is not imported.
    "json.py": "raise ImportError('not this one')\n",
}


def environment(folder, kind, name):
    """A virtual environment with a package in it, packed."""
    home = os.path.join(folder, name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    site = os.path.join(home, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
    for path, text in PACKAGE.items():
        path = os.path.normpath(os.path.join(site, path))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
    return shutil.make_archive(home, kind, home)


class Python:
    """Names the workers' Python, as PYSPARK_PYTHON does."""

    def __init__(self, sc, archive):
        self.sc, self.kept = sc, sc.pythonExec
        # An executor of a cluster unpacks archives in its working folder, the driver of local mode where its files are.
        local = sc.master.startswith("local")
        self.path = os.path.join(SparkFiles.getRootDirectory() if local else ".", archive, "bin/python")

    def __enter__(self):
        self.sc.pythonExec = self.path

    def __exit__(self, *_):
        self.sc.pythonExec = self.kept


def look(x):
    import json
    import sys
    from importlib import metadata

    import on_the_side
    import tariffs
    from tariffs.rates import table

    standard = "/python%d.%d" % sys.version_info[:2]
    path = [entry for entry in sys.path if entry.endswith((standard, "/site-packages", "/developed"))]
    # The image's own packages are behind the environment's.
    order = [entry.rsplit("/", 1)[-1] for entry in path][:3]
    return (
        tariffs.rate(x),
        tariffs.__version__,
        metadata.version("tariffs"),
        table(),
        on_the_side.WHERE,
        order,
        json.dumps(x),
    )


def in_an_environment(spark, kind, name):
    sc = spark.sparkContext
    with Folder() as folder:
        sc.addArchive(f"{environment(folder.path, kind, name)}#{name}")
        with Python(sc, name):
            rows = sc.parallelize(range(3), 2).map(look).collect()

            @udf("long", useArrow=False)
            def rated(x):
                import tariffs

                return tariffs.rate(x)

            return rows, spark.range(3).select(rated("id")).collect()


@case("default", "no_reuse", cluster=True)
def environment_in_a_tar(spark):
    return in_an_environment(spark, "gztar", "env_tar")


@case()
def environment_in_a_zip(spark):
    return in_an_environment(spark, "zip", "env_zip")


@case()
def environment_of_two_jobs(spark):
    """Each names another environment; what one has the other has not."""
    sc = spark.sparkContext

    def who(_):
        import whose

        return whose.NAME

    found = []
    with Folder() as folder:
        for name in ("env_one", "env_two"):
            home = environment(folder.path, "gztar", name).removesuffix(".tar.gz")
            with open(os.path.join(home, "lib/python3.11/site-packages/whose.py"), "w") as out:
                out.write(f"NAME = {name!r}\n")
            sc.addArchive(f"{shutil.make_archive(home, 'gztar', home)}#{name}")
        for name in ("env_one", "env_two", "env_one"):
            with Python(sc, name):
                found.append(sc.parallelize([0], 1).map(who).collect())
        found.append(
            sc.parallelize([0], 1).map(lambda _: __import__("importlib.util").util.find_spec("whose")).collect()
        )
    return found


def zipped(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in PACKAGE.items():
            if name.startswith("tariffs/"):
                z.writestr(name, text)
    return path


@case(cluster=True)
def egg(spark):
    sc = spark.sparkContext
    with Folder() as folder:
        sc.addPyFile(zipped(os.path.join(folder.path, "tariffs-1.2-py3.11.egg")))

        def work(x):
            import importlib.resources

            import tariffs

            return tariffs.rate(x), importlib.resources.files("tariffs").joinpath("table.txt").read_text("utf-8")

        return sc.parallelize(range(3), 2).map(work).collect()


@case(since="4.0", cluster=True)
def artifacts(spark):
    """Files of all kinds, added to a session."""
    with Folder() as folder:
        module = folder.write("session_rules.py", "def rule(x):\n    return x + 40\n")
        text = folder.write("session_notes.txt", "nôtes\n")
        home = os.path.join(folder.path, "kit")
        os.makedirs(home)
        folder.write("kit/inner.txt", "ínner\n")
        spark.addArtifacts(module, zipped(os.path.join(folder.path, "session_tariffs.zip")), pyfile=True)
        spark.addArtifacts(f"{shutil.make_archive(home, 'zip', home)}#session_kit", archive=True)
        spark.addArtifacts(text, file=True)

        @udf("string", useArrow=False)
        def work(x):
            import session_rules
            import tariffs

            root = SparkFiles.getRootDirectory()
            with open(os.path.join(root, "session_kit", "inner.txt"), encoding="utf-8") as inner:
                with open(os.path.join(root, "session_notes.txt"), encoding="utf-8") as notes:
                    return f"{session_rules.rule(x)} {tariffs.rate(x)} {inner.read()} {notes.read()}"

        return spark.range(3).select(work("id")).collect()
