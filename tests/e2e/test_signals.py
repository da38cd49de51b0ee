"""The JVM's signals and those of sandboxes in one process, for `STORM_SECONDS` (15), on the JDK of `STORM_JAVA`."""

from __future__ import annotations

import os
import pathlib
import re

from harness import launch

FOLDER = pathlib.Path(__file__).resolve().parent / "signals"
KINDS = {"null checks", "stack overflows in Java", "garbage"} | {f"sandboxes: {way}" for way in "uosal"}


def test_no_signal_meets_the_wrong_handler(tmp_path):
    seconds = int(os.environ.get("STORM_SECONDS", 15))
    home = launch.venv("spark-4.3.0")
    (jars,) = home.glob("lib/python*/site-packages/pyspark/jars")
    java = os.environ.get("STORM_JAVA", "java")
    image = launch.ROOT / "guest-python/images/python-3.11.davy"
    classes = f"{launch.JAR}:{jars}/*"
    argv = [java, "-Xmx256m", "-XX:+UseG1GC", "-cp", classes, str(FOLDER / "Storm.java")]
    argv += [str(image), os.path.join(launch.CACHE, "compiled"), str(FOLDER), str(seconds)]
    done = launch.run_program(argv, dict(os.environ), tmp_path / "log.txt", seconds + 240)
    assert done.code == 0, done.log[-3000:]
    told = re.search(r"STORM \{(.*)\}", done.log)
    assert told, done.log[-3000:]
    counts = {name: int(n) for name, n in (pair.rsplit("=", 1) for pair in told[1].split(", "))}
    print(counts)
    assert counts.keys() == KINDS and min(counts.values()) > 0, counts
