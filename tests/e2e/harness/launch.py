"""Starts a PySpark program as a user would, stock or with Davy."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shlex
import signal
import subprocess
import threading
import time

from harness import class_archive, registry, toolbox

E2E = pathlib.Path(__file__).resolve().parents[1]
ROOT = E2E.parents[1]
JAR = pathlib.Path(os.environ.get("DAVY_JAR", ROOT / "jni-bridge/plugin/target/davy-spark.jar"))
STOCK, DAVY = "stock", "davy"
# The same folder as in scripts/lib.sh.
CACHE = os.environ.get("DAVY_CACHE") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "davy"
)

COMMON = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    # Plain functions are pickled on every version; those that use Arrow say so (cases/arrow_*.py).
    "spark.sql.execution.pythonUDF.arrow.enabled": "false",
    "spark.sql.execution.pythonUDTF.arrow.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
}
# The tests' JVMs live for minutes: half of what they computed was the second compiler's work.
# Not for what is measured or shown, so nothing has it unasked.
SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
QUICK_ENV = {"SPARK_LAUNCHER_OPTS": SHORT_LIVED, "SPARK_DAEMON_JAVA_OPTS": SHORT_LIVED}
# With Davy no Python process may start: the daemon it would start does not exist.
DAVY_CONF = {
    "spark.plugins": "davy.DavyPlugin",
    "spark.python.daemon.module": "nonexistent_daemon",
    # Apart from the user's own: its size limit counts everything in the folder.
    "spark.davy.cache.dir": os.path.join(CACHE, "compiled"),
}


@functools.cache
def venv(name: str) -> pathlib.Path:
    """The folder of a Python environment of `scripts/requirements`."""
    done = subprocess.run([ROOT / "scripts/venv", name], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(done.stdout.strip())


def short_lived(version: str) -> str:
    """The options of a JVM with Spark that lives for minutes."""
    return f"{SHORT_LIVED} {class_archive.option(version, venv(f'spark-{version}'), pathlib.Path(CACHE), SHORT_LIVED)}"


def quick_conf(version: str) -> dict[str, str]:
    return dict.fromkeys(("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"), short_lived(version))


def submit_words(mode: str, master: str, conf: dict | None = None, jars: bool = True) -> list[str]:
    settings = COMMON | (DAVY_CONF if mode == DAVY else {}) | (conf or {})
    words = ["--master", master]
    if mode == DAVY and jars:
        words += ["--jars", str(JAR)]
    for key, value in settings.items():
        if value is not None:
            words += ["--conf", f"{key}={value}"]
    return words


def environment(version: str, mode: str, master: str, conf=None, jars=True, extra=None) -> dict[str, str]:
    home = venv(f"spark-{version}")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_", "PYTHON"))}
    return kept | {
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "PYSPARK_PYTHON": f"{home}/bin/python",
        "PYSPARK_DRIVER_PYTHON": f"{home}/bin/python",
        "PYSPARK_SUBMIT_ARGS": shlex.join([*submit_words(mode, master, conf, jars), "pyspark-shell"]),
        "PYTHONPATH": str(E2E),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPARK_LOCAL_IP": "127.0.0.1",
        # The same on every machine: stock's outcomes are recorded.
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        **(extra or {}),
    }


@dataclasses.dataclass
class Finished:
    """A program that has ended: its exit code and everything it wrote."""

    code: int
    log: str


def _lives(group: int) -> bool:
    """Whether a process of the group runs (a zombie that nobody reaped does not)."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, pgrp = stat.read_text().rpartition(") ")[2].split()[:3]
            if int(pgrp) == group and state != "Z":
                return True
    return False


# The process groups that run now.
_running: set[int] = set()
_stopping = threading.Event()


def stop_programs() -> None:
    """Ends what runs, and nothing more starts: nobody waits for it any more."""
    _stopping.set()
    for group in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


def run_program(argv, env, log: pathlib.Path, timeout: float) -> Finished:
    """Runs a program in its own process group, so that nothing of it outlives the call.

    Python ends before its JVM, which then deletes its temporary files: it gets 20 s for that.
    """
    if _stopping.is_set():
        raise RuntimeError("the tests are over")
    with open(log, "wb") as out:
        process = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=log.parent
        )
        _running.add(process.pid)
        try:
            code = process.wait(timeout)
            patience = time.monotonic() + 20
            while _lives(process.pid) and time.monotonic() < patience:
                time.sleep(0.05)
        except subprocess.TimeoutExpired:
            code = -1
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _running.discard(process.pid)
    return Finished(code, log.read_text(errors="replace"))


@dataclasses.dataclass
class Outcomes:
    by_case: dict[str, dict]
    log: str

    def comparable(self, case: registry.Case, markers: bool = True) -> dict:
        """The part of a case's outcome that must be the same with stock and with Davy."""
        found = {k: v for k, v in self.by_case[case.name].items() if k != "seconds"}
        if case.differs:
            return dict.fromkeys(found, case.differs)
        return found | ({"markers": self.markers(case.name)} if case.markers and markers else {})

    def markers(self, case: str) -> list[str]:
        """The lines with MARK that the case left in the log, sorted: tasks interleave."""
        inside, found = False, []
        for line in self.log.splitlines():
            if line.startswith("CASE-"):
                inside = line == f"CASE-BEGIN {case}"
            elif inside and "MARK" in line:
                found.append(line[line.index("MARK") :].rstrip())
        return sorted(found)


def run_cases(version, mode, master, folder, names, *, conf=None, timeout=900) -> Outcomes:
    """The outcomes of the named cases, all run in one process (one more after each that does not end)."""
    folder.mkdir(parents=True, exist_ok=True)
    out, wanted = folder / "outcomes.json", folder / "wanted.json"
    wanted.write_text(json.dumps(list(names)))
    argv = [str(venv(f"spark-{version}") / "bin/python"), "-m", "harness", "--cases", str(wanted)]
    argv += ["--out", str(out), "--archive", str(toolbox.archive(folder))]
    # A variable of the executor's own that no user code may see.
    extra = QUICK_ENV | {"E2E_HOST_SECRET": "do not tell"}
    env = environment(version, mode, master, quick_conf(version) | (conf or {}), extra=extra)
    out.unlink(missing_ok=True)
    log, known, deadline = "", -1, time.monotonic() + timeout
    while True:
        done = run_program(argv, env, folder / "log.txt", deadline - time.monotonic())
        log += done.log
        results = json.loads(out.read_text())["outcomes"] if out.exists() else {}
        # A process that ended early is followed by one for the remaining cases, while there is progress.
        if done.code == 0 or len(results) <= known or time.monotonic() > deadline:
            break
        known = len(results)
    (folder / "log.txt").write_text(log)
    if not results:
        raise RuntimeError(f"{mode} on Spark {version} did not start (exit {done.code}):\n{log[-4000:]}")
    return Outcomes(results, log)
