"""Starts a PySpark program as a user would, stock or with Davy."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time

from harness import registry

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


def submit_args(mode: str, master: str, conf: dict | None = None, jars: bool = True) -> str:
    settings = COMMON | (DAVY_CONF if mode == DAVY else {}) | (conf or {})
    words = ["--master", master]
    if mode == DAVY and jars:
        words += ["--jars", str(JAR)]
    for key, value in settings.items():
        if value is not None:
            words += ["--conf", f"{key}={value}"]
    return shlex.join([*words, "pyspark-shell"])


def environment(version: str, mode: str, master: str, conf=None, jars=True, extra=None) -> dict[str, str]:
    home = venv(f"spark-{version}")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_", "PYTHON"))}
    return kept | {
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "PYSPARK_PYTHON": f"{home}/bin/python",
        "PYSPARK_DRIVER_PYTHON": f"{home}/bin/python",
        "PYSPARK_SUBMIT_ARGS": submit_args(mode, master, conf, jars),
        "PYTHONPATH": str(E2E),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SPARK_LOCAL_IP": "127.0.0.1",
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


def run_program(argv, env, log: pathlib.Path, timeout: float) -> Finished:
    """Runs a program in its own process group, so that nothing of it outlives the call.

    Python ends before its JVM, which then deletes its temporary files: it gets 20 s for that.
    """
    with open(log, "wb") as out:
        process = subprocess.Popen(
            argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, cwd=log.parent
        )
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
    return Finished(code, log.read_text(errors="replace"))


def toolbox_archive(folder: pathlib.Path) -> pathlib.Path:
    """A packed environment of pure Python, as `venv-pack` would make one."""
    path = folder / "toolbox.tar.gz"
    with tempfile.TemporaryDirectory() as scratch:
        site = pathlib.Path(scratch, "lib/python3.11/site-packages/toolbox")
        site.mkdir(parents=True)
        (site / "__init__.py").write_text("from .inner import treble\n")
        (site / "inner.py").write_text("def treble(x):\n    return 3 * x\n")
        (site / "table.json").write_text('{"é": 1}')
        with tarfile.open(path, "w:gz") as tar:
            tar.add(pathlib.Path(scratch, "lib"), "lib")
    return path


@dataclasses.dataclass
class Outcomes:
    by_case: dict[str, dict]
    log: str

    def markers(self, case: str) -> list[str]:
        """The lines with MARK that the case left in the log, sorted: tasks interleave."""
        inside, found = False, []
        for line in self.log.splitlines():
            if line.startswith("CASE-"):
                inside = line == f"CASE-BEGIN {case}"
            elif inside and "MARK" in line:
                found.append(line[line.index("MARK") :].rstrip())
        return sorted(found)


def run_cases(version, mode, master, folder, *, cluster=False, only=None, modules=None, conf=None, timeout=900):
    """The outcomes of the chosen cases, all run in one process (one more after each that does not end)."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "outcomes.json"
    argv = [str(venv(f"spark-{version}") / "bin/python"), "-m", "harness.run_cases", "--out", str(out)]
    argv += ["--archive", str(toolbox_archive(folder))]
    argv += ["--cluster"] if cluster else []
    argv += ["--only", only] if only else []
    argv += ["--modules", ",".join(modules)] if modules else []
    # A variable of the executor's own that no user code may see.
    env = environment(version, mode, master, conf, extra={"E2E_HOST_SECRET": "do not tell"})
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


def stock_outcomes(version: str, folder: pathlib.Path, modules: tuple[str, ...], only: str | None = None) -> Outcomes:
    """What stock PySpark does, from an earlier run if nothing that decides it has changed.

    It is decided by the Spark version, the cases and the harness, all in the key.
    """
    digest = hashlib.sha256(f"{venv(f'spark-{version}')} {modules} {only}".encode())
    for path in sorted([*E2E.glob("cases/*.py"), *E2E.glob("harness/*.py")]):
        if path.stem not in registry.DAVY_MODULES:
            digest.update(path.read_bytes())
    kept = pathlib.Path(CACHE, "stock-outcomes", f"{version}-{digest.hexdigest()[:16]}")
    if not (kept / "complete").exists():
        found = run_cases(version, STOCK, "local[2]", folder, modules=modules, only=only, timeout=2400)
        if any("timeout" in out for out in found.by_case.values()):
            return found  # an overloaded machine, perhaps: not to be remembered
        kept.mkdir(parents=True, exist_ok=True)
        for name in ("outcomes.json", "log.txt"):
            shutil.copy(folder / name, kept / name)
        (kept / "complete").touch()
    return Outcomes(
        json.loads((kept / "outcomes.json").read_text())["outcomes"],
        (kept / "log.txt").read_text(errors="replace"),
    )
