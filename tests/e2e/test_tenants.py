"""Users of one Spark Connect server, which runs their Python in the same executors with workers that are reused."""

from __future__ import annotations

import json
import os

from harness import launch
from harness.launch import DAVY, STOCK
from test_connect import VERSION, server


def test_nothing_of_one_user_is_seen_by_another(tmp_path):
    more = next((launch.venv("connect") / "lib").glob("python3.*")) / "site-packages"
    with server(DAVY, tmp_path) as address:
        env = launch.environment(VERSION, STOCK, "local[2]", extra={"PYTHONPATH": os.fspath(more)})
        del env["PYSPARK_SUBMIT_ARGS"]  # the client has no JVM
        client = [str(launch.venv(f"spark-{VERSION}") / "bin/python"), str(launch.E2E / "tenants_client.py"), address]
        done = launch.run_program(client, env, tmp_path / "client.log", 300)
    lines = [line[7:] for line in done.log.splitlines() if line.startswith("RESULT ")]
    assert lines, done.log[-3000:] + (tmp_path / f"{DAVY}-server.log").read_text()[-3000:]
    found = json.loads(lines[0])
    assert found["left"] == ["left"]
    assert found["bob"] == found["bob again"] == [""]
    # As with stock workers: what a user's task leaves, the user's next task meets.
    assert "builtins, a module, the environment, /tmp" in found["ann"]
