"""Wrong settings, damaged images, bad caches and clusters set up by halves: each ends in a
sentence that says what is wrong, never in a hang or a fall back to a process."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import zipfile

import pytest

from harness import launch
from harness.cluster import standalone
from harness.launch import DAVY, JAR

VERSION = "4.3.0"
JOB = """
import glob, os, sys, time
from pyspark.sql import SparkSession
began = time.time()
spark = SparkSession.builder.getOrCreate()
print("SUM", spark.sparkContext.parallelize(range(10), 2).map(lambda x: x + 1).sum(), flush=True)

def saved():
    try:
        return any(os.path.getmtime(path) > began for path in glob.glob(sys.argv[1]))
    except FileNotFoundError:  # the damaged one goes
        return False

# The snapshot is saved beside the tasks.
while sys.argv[1:] and not saved() and time.time() < began + 300:
    time.sleep(0.1)
spark.stop()
"""
# What a JVM's first sandbox and its tasks' had to do.
LOG = """
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %c{1}: %m%n
logger.runtime.name = davy.DavyRuntime
logger.runtime.level = debug
"""
# No task may wait for long, and a failure is one only once.
CONF = {"spark.task.maxFailures": "1"}
# Seconds for a job that compiles the image first, on a slow machine.
COMPILES = 600


@pytest.fixture(scope="module", autouse=True)
def place(jobs):
    """These tests run beside one process of the others; when they are through, beside them runs a second."""
    yield
    jobs.start_worker()


def run(folder, conf=None, master="local[2]", jars=True, extra=None, mode=DAVY, timeout=120, words=()):
    folder.mkdir(parents=True, exist_ok=True)
    env = launch.environment(
        VERSION,
        mode,
        master,
        launch.quick_conf(VERSION) | CONF | (conf or {}),
        jars=jars,
        extra=launch.QUICK_ENV | (extra or {}),
    )
    python = str(launch.venv(f"spark-{VERSION}") / "bin/python")
    (folder / "job.py").write_text(JOB)
    return launch.run_program([python, "job.py", *words], env, folder / "log.txt", timeout)


def said(log: str) -> str:
    """The first sentence that Davy says in an error."""
    found = re.search(r"davy\.DavyException: (.*)", log)
    return found[1] if found else log[-3000:]


def packed_image(folder) -> pathlib.Path:
    """The image inside the jar, as a file of its own."""
    with zipfile.ZipFile(JAR) as jar:
        name = next(n for n in jar.namelist() if n.endswith(".davy"))
        path = folder / "image.davy"
        path.write_bytes(jar.read(name))
    return path


def test_a_normal_job(tmp_path):
    assert "SUM 55" in run(tmp_path, timeout=COMPILES).log


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("spark.davy.deadlin", "1s", "unknown setting spark.davy.deadlin; did you mean spark.davy.deadline\\?"),
        ("spark.davy.zzzzzzzzzz", "1", "unknown setting spark.davy.zzzzzzzzzz; see docs/settings.md"),
        ("spark.davy.memory", "lots", r'spark.davy.memory is "lots"; it must be .+'),
        ("spark.davy.memory", "5g", r'spark.davy.memory is "5g"; it must be .+'),
        ("spark.davy.deadline", "-1s", r'spark.davy.deadline is "-1s"; it must be .+'),
        ("spark.davy.grant.read", "relative/path", r'spark.davy.grant.read is "relative/path"; it must be .+'),
    ],
)
def test_settings(tmp_path, key, value, sentence):
    done = run(tmp_path, {key: value})
    assert done.code != 0
    assert re.fullmatch(sentence, said(done.log)), said(done.log)


def damaged(kind, image: pathlib.Path) -> None:
    data = image.read_bytes()
    if kind == "flipped":
        middle = len(data) // 2
        data = data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]
    elif kind == "truncated":
        data = data[: len(data) * 2 // 3]
    elif kind == "empty":
        data = b""
    elif kind == "text":
        data = b"not an image at all\n" * 1000
    image.write_bytes(data)


@pytest.mark.parametrize("kind", ["flipped", "truncated", "empty", "text", "absent", "folder"])
def test_images(tmp_path, kind):
    image = packed_image(tmp_path)
    if kind in ("absent", "folder"):
        image.unlink()
    if kind == "folder":
        image.mkdir()
    if image.is_file():
        damaged(kind, image)
    done = run(tmp_path / "run", {"spark.davy.image": str(image), "spark.davy.cache.dir": str(tmp_path / "cache")})
    assert done.code != 0
    assert str(image) in said(done.log), said(done.log)
    assert re.search("not a Davy image|truncated|damaged|cannot be read|does not exist|no file", said(done.log))


def test_own_image(tmp_path):
    assert "SUM 55" in run(tmp_path / "run", {"spark.davy.image": str(packed_image(tmp_path))}).log


def test_cache_that_is_a_file(tmp_path):
    blocked = tmp_path / "cache"
    blocked.write_text("in the way")
    done = run(tmp_path / "run", {"spark.davy.cache.dir": str(blocked)})
    assert done.code != 0
    assert str(blocked) in said(done.log), said(done.log)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting a small file system needs root")
def test_cache_that_is_full(tmp_path):
    """Either it works without the cache or it says that the disk is full; the message names the folder."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("this machine does not let root mount")
    try:
        done = run(tmp_path / "run", {"spark.davy.cache.dir": str(small)}, timeout=COMPILES)
        assert "SUM 55" in done.log or re.search(f"{small}.*[Nn]o space left", said(done.log)), said(done.log)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


@pytest.fixture(scope="module")
def warmed(tmp_path_factory):
    """The settings and the output of two JVMs that began at the same time with one empty cache."""
    folder = tmp_path_factory.mktemp("warmed")
    conf = {"spark.davy.cache.dir": str(folder / "cache")}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        # None ends before the snapshot is saved.
        words = [f"{folder}/cache/snapshot-*/memory.snapshot"]
        return conf, list(pool.map(lambda n: run(folder / f"run{n}", conf, timeout=COMPILES, words=words), range(2)))


def snapshots(conf):
    """The worker snapshots in the cache, by entry, with their content."""
    return {p.parent.name: p.read_bytes() for p in pathlib.Path(conf["spark.davy.cache.dir"]).glob("snapshot-*/*")}


def tells(folder, conf):
    """The log of one more JVM with this cache."""
    folder.mkdir(parents=True)
    (folder / "log4j2.properties").write_text(LOG)
    java = f"{launch.short_lived(VERSION)} -Dlog4j2.configurationFile={folder}/log4j2.properties"
    more = {"spark.driver.extraJavaOptions": java, "spark.log.level": None}
    done = run(folder, conf | more, timeout=COMPILES)
    assert "SUM 55" in done.log, said(done.log)
    return done.log


def starts_from_a_snapshot(log):
    """Of each sandbox that served a task."""
    return [told == "true" for told in re.findall(r"Davy served a task: Figures\(.*,(true|false)\)", log)]


def test_two_jvms_warm_one_empty_cache(tmp_path, warmed):
    conf, jvms = warmed
    for done in jvms:
        assert "SUM 55" in done.log, said(done.log)
    before = snapshots(conf)
    assert len(before) == 1, "one worker kind: whoever was first made it for both"
    found = starts_from_a_snapshot(tells(tmp_path / "third", conf))
    assert found and all(found), "its first task as well"
    assert snapshots(conf) == before


def test_damaged_cache_entries_are_made_anew(tmp_path, warmed):
    conf, _ = warmed
    entries = [p for p in pathlib.Path(conf["spark.davy.cache.dir"]).rglob("*") if p.is_file()]
    entries = [p for p in entries if p.stat().st_size > 1000]
    assert entries, "the cache holds something to damage"
    for path in entries:
        path.chmod(0o600)
        with path.open("r+b") as entry:
            entry.seek(path.stat().st_size // 2)
            byte = entry.read(1)[0]
            entry.seek(-1, os.SEEK_CUR)
            entry.write(bytes([byte ^ 0xFF]))
    damaged = snapshots(conf)
    done = run(
        tmp_path / "second",
        conf,
        timeout=COMPILES,
        words=[f"{conf['spark.davy.cache.dir']}/snapshot-*/memory.snapshot"],
    )
    assert "SUM 55" in done.log, said(done.log)
    made = snapshots(conf)
    assert made.keys() == damaged.keys() and all(made[name] != damaged[name] for name in made)
    found = starts_from_a_snapshot(tells(tmp_path / "third", conf))
    assert found and all(found), "what was made anew is sound"
    assert snapshots(conf) == made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with standalone(VERSION, folder, workers=1, env=launch.QUICK_ENV) as url:
        yield url


def test_jar_on_the_drivers_class_path_only(tmp_path, cluster):
    """The executors must get the jar too, or a sentence must say what to do."""
    conf = {"spark.driver.extraClassPath": str(JAR), "spark.executor.memory": "512m", "spark.cores.max": "1"}
    done = run(tmp_path, conf, master=cluster, jars=False)
    assert "SUM 55" in done.log or "--jars" in said(done.log), said(done.log)


def test_nothing_is_left_behind(tmp_path):
    """No process, and no file in the temporary folder, outlives a job."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    extra = {
        "TMPDIR": str(scratch),
        "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={scratch}",
        "SPARK_LOCAL_DIRS": str(scratch),
    }
    assert "SUM 55" in run(tmp_path / "run", extra=extra).log
    others = ("hsperfdata", "liblz4", "snappy", "libnetty")
    left = [p.name for p in scratch.iterdir() if not p.name.startswith(others)]
    assert left == []
    shutil.rmtree(scratch)
