"""Spark Connect: a server with the plugin answers its clients as one without."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time

import pytest

from harness import launch
from harness.launch import DAVY, STOCK

VERSION = "4.3.0"
# Of the plans that the client asks for.
NODES = ("DavyArrowEvalPython", "DavyFlatMapGroups", "DavyFlatMapCoGroups", "DavyWindowPython", "DavyUdtfPython")
SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


@contextlib.contextmanager
def server(mode, folder):
    """Its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    conf = launch.quick_conf(VERSION) | {
        "spark.connect.grpc.binding.port": str(port),
        "spark.connect.grpc.binding.address": "127.0.0.1",
    }
    env = launch.environment(VERSION, mode, "local[2]", conf)
    words = launch.submit_words(mode, "local[2]", conf)
    argv = [str(launch.venv(f"spark-{VERSION}") / "bin/spark-submit"), *words, "--class", SERVER, "spark-internal"]
    with open(folder / f"{mode}-server.log", "wb") as log:
        process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.2)
        yield f"sc://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def answers(mode, folder):
    more = next((launch.venv("connect") / "lib").glob("python3.*")) / "site-packages"
    with server(mode, folder) as address:
        env = launch.environment(
            VERSION, STOCK, "local[2]", extra={"PYTHONPATH": os.pathsep.join([str(more), str(launch.E2E)])}
        )
        del env["PYSPARK_SUBMIT_ARGS"]  # the client has no JVM
        argv = [str(launch.venv(f"spark-{VERSION}") / "bin/python"), str(launch.E2E / "connect_client.py"), address]
        done = launch.run_program(argv, env, folder / f"{mode}-client.log", 300)
    for line in done.log.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    pytest.fail(
        f"{mode}: the client gave no result\n{done.log[-3000:]}\n{(folder / f'{mode}-server.log').read_text()[-3000:]}"
    )


def test_clients_get_the_same_answers(tmp_path):
    stock, davy = answers(STOCK, tmp_path), answers(DAVY, tmp_path)
    for node, ours, stocks in zip(NODES, davy["plans"], stock["plans"], strict=True):
        assert node in ours and "Davy" not in stocks
    assert stock["jobs"]["two sessions"] == [["ours"], ["theirs"], ["ours"]]
    assert all("['wörd', 'nôtes']" in row for row in stock["jobs"]["an archive and a file"])
    for name, expected in stock["jobs"].items():
        assert davy["jobs"][name] == expected, name
