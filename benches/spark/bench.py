"""Question: what does the sandbox cost, or save, a PySpark job, against stock in the same run?

    bench.py [pickled|columnar|shapes|model] [--rounds N] [--rows N] [--tasks N] [--quick]

`pickled`: starts, latency, memory and throughput of plain functions.  `columnar`: throughput and CPU
time of functions that get Arrow batches, and where Davy's time goes.  `shapes`: the same by size of batches,
number of columns, length of text.  `model`: a large broadcast in many tasks at once; its rows
are MiB.  Stock and Davy take turns, a new process each (so each round has its own cold start), with
`columnar` and `shapes` query by query.  Prints
medians and ratios as a Markdown table and writes every value with the machine's description to
benches/runs.  Not measured: clusters, the compilation of the image on a machine's first use.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness import launch  # noqa: E402

VERSION = "4.3.0"
# For these a larger figure is the better one.
RATES = "rows/s"
PROGRAMS = {"pickled": "measure.py", "columnar": "columnar.py", "shapes": "shapes.py", "model": "model.py"}
ROWS = {"pickled": 1_000_000, "columnar": 10_000_000, "shapes": 10_000_000, "model": 500}
TASKS = {"pickled": 2, "columnar": 2, "shapes": 2, "model": 8}


def machine() -> dict:
    info = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "spark": VERSION,
        "commit": commit.strip(),
        "load_before": os.getloadavg()[0],
    }


def measure(mode: str, args, folder: pathlib.Path, turns: dict[str, str] | None = None) -> dict:
    env = launch.environment(VERSION, mode, f"local[{args.tasks}]", {"spark.driver.memory": "4g"}, extra=turns)
    python = str(launch.venv(f"spark-{VERSION}") / "bin/python")
    argv = [python, str(HERE / PROGRAMS[args.suite]), str(args.rows), str(args.tasks), args.only]
    done = launch.run_program(argv, env, folder / f"{mode}.log", 1800)
    for line in done.log.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    launch.stop_programs()
    raise SystemExit(f"error: {mode} gave no result:\n{done.log[-4000:]}")


def in_turns(modes: tuple[str, str], args, folder: pathlib.Path) -> dict:
    """Both modes at once, a query of one after a query of the other."""
    turns = pathlib.Path(tempfile.mkdtemp(dir=folder))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {
            mode: pool.submit(measure, mode, args, folder, {"BENCH_TURNS": str(turns), "BENCH_PLACE": str(place)})
            for place, mode in enumerate(modes)
        }
        return {mode: run.result() for mode, run in runs.items()}


def table(rounds: list[dict]) -> str:
    lines = ["| | stock | Davy | Davy / stock |", "|---|---|---|---|"]
    for what, value in rounds[0][launch.STOCK].items():
        if isinstance(value, dict):
            continue  # raw values of single runs
        stock, davy = (statistics.median(r[m][what] for r in rounds) for m in (launch.STOCK, launch.DAVY))
        ratio = f"{davy / stock:.2f}" if stock > 1e-9 else "-"
        better = " (more is better)" if RATES in what else ""
        lines.append(f"| {what}{better} | {stock:.3g} | {davy:.3g} | {ratio} |")
    return "\n".join(lines)


def parts(rounds: list[dict]) -> str:
    """Where Davy's time goes: milliseconds of all tasks together, beside the run's wall time."""
    cases = {
        what: [r[launch.DAVY][what] for r in rounds] for what in rounds[0][launch.DAVY] if what.endswith(", parts")
    }
    if not cases:
        return ""
    names = list(next(iter(cases.values()))[0])
    lines = ["", "| ms | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for what, found in cases.items():
        cells = (f"{statistics.median(one.get(name, 0) for one in found):.0f}" for name in names)
        lines.append(f"| {what.removesuffix(', parts')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def stop(*_) -> None:
    """Spark's processes are in sessions of their own, and would go on."""
    launch.stop_programs()
    raise SystemExit("error: stopped")


def main() -> None:
    for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(how, stop)
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", nargs="?", default="pickled", choices=PROGRAMS)
    parser.add_argument("--rounds", type=int, help="of columnar and shapes one: it has five runs of each case")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--only", default="", help="the cases whose names have this in them (columnar)")
    parser.add_argument("--quick", action="store_true", help="one round of 200,000 rows: does it run at all")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.rows = 1, 100 if args.suite == "model" else 200_000
    args.rounds = args.rounds or (1 if args.suite in ("columnar", "shapes") else 5)
    args.rows, args.tasks = args.rows or ROWS[args.suite], args.tasks or TASKS[args.suite]
    described, rounds = machine(), []
    with tempfile.TemporaryDirectory(prefix="davy-bench-") as scratch:
        for n in range(args.rounds):
            # The order changes from round to round, so that neither mode always runs first.
            modes = (launch.STOCK, launch.DAVY) if n % 2 == 0 else (launch.DAVY, launch.STOCK)
            print(f"round {n + 1} of {args.rounds}", file=sys.stderr, flush=True)
            if args.suite in ("columnar", "shapes"):
                rounds.append(in_turns(modes, args, pathlib.Path(scratch)))
            else:
                rounds.append({mode: measure(mode, args, pathlib.Path(scratch)) for mode in modes})
    print(table(rounds))
    print(parts(rounds))
    if not args.quick:
        runs = ROOT / "benches/runs"
        runs.mkdir(exist_ok=True)
        part = "-" + re.sub(r"\W+", "-", args.only) if args.only else ""
        path = runs / f"{datetime.date.today()}-spark-{args.suite}-{args.tasks}{part}.json"
        path.write_text(
            json.dumps({"machine": described, "rows": args.rows, "tasks": args.tasks, "rounds": rounds}, indent=1)
            + "\n"
        )
        print(f"\nraw values: {path.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
