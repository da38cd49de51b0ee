"""A real standalone cluster on this machine: a master and workers, each a JVM."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time

from harness.launch import venv


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(log: pathlib.Path, words: str, process, seconds=60) -> None:
    deadline = time.monotonic() + seconds
    while words not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the cluster did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


@contextlib.contextmanager
def standalone(version: str, folder: pathlib.Path, workers: int = 2, env: dict | None = None, apart: bool = False):
    """Yields the master's URL; every JVM is gone when the block ends.

    `apart`: each worker has a host of its own, as speculation wants it.
    """
    home = venv(f"spark-{version}")
    spark = home / "lib/python3.11/site-packages/pyspark"
    folder.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SPARK_", "PYSPARK_", "PYTHON"))}
    environment |= {
        "SPARK_HOME": str(spark),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_MEMORY": "256m",
        "PYSPARK_PYTHON": str(home / "bin/python"),
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        **(env or {}),
    }
    processes = []

    def start(name, *argv):
        log = folder / f"{name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [str(spark / "bin/spark-class"), *argv],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                cwd=folder,
            )
        processes.append(process)
        return process, log

    try:
        url = f"spark://127.0.0.1:{(port := free_port())}"
        deploy = "org.apache.spark.deploy"
        master = start(
            "master", f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"
        )
        _wait_for(master[1], "Starting Spark master at", master[0])
        for n in range(workers):
            work = folder / f"worker{n}"
            work.mkdir(exist_ok=True)
            host = f"127.0.0.{1 + n * apart}"
            worker = start(
                f"worker{n}", f"{deploy}.worker.Worker", "--host", host, "--cores", "1", "--memory", "2g",
                "--webui-port", "0", "--work-dir", str(work), url,
            )  # fmt: skip
            _wait_for(worker[1], "Successfully registered with master", worker[0])
        yield url
    finally:
        for process in reversed(processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in reversed(processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def executor_logs(folder: pathlib.Path) -> str:
    """Everything the executors of the cluster wrote."""
    return "\n".join(p.read_text(errors="replace") for p in sorted(folder.glob("worker*/app-*/*/std*")))
