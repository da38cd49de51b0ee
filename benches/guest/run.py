"""Question: how much slower is Python in the guest than the same Python outside?

    run.py [speed|kernels] [--rounds N]

`speed` is pure Python (speed.py), `kernels` is numpy, pandas and pyarrow (kernels.py).  Native and
guest take turns, each time in a new process; of each kernel the best time counts.
Prints ratios as a Markdown table and writes every value to benches/runs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
IMAGE = ROOT / "guest-python/images/python-3.11.davy"
GUEST = ROOT / "target/release/examples/guest"


def measure(command: list) -> dict[str, float]:
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {d["kernel"]: d["ms"] for d in map(json.loads, lines)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", nargs="?", choices=("speed", "kernels"), default="speed")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    native, guest, load = [], [], os.getloadavg()[0]
    for n in range(args.rounds):
        print(f"round {n + 1} of {args.rounds}", file=sys.stderr, flush=True)
        native.append(measure([sys.executable, HERE / f"{args.suite}.py", "3"]))
        guest.append(measure([GUEST, IMAGE, HERE, args.suite]))
    best = {k: [min(run[k] for run in runs) for runs in (native, guest)] for k in native[0]}
    ratios = {k: g / n for k, (n, g) in best.items()}
    print("| kernel | native, ms | guest, ms | guest / native |\n|---|---|---|---|")
    for k, (n, g) in best.items():
        print(f"| {k} | {n:.1f} | {g:.1f} | {ratios[k]:.2f} |")
    groups = {}
    for kernel, ratio in ratios.items():
        groups.setdefault(kernel.split()[0] if args.suite == "kernels" else "", []).append(ratio)
    for group, found in groups.items():
        mean = math.exp(sum(map(math.log, found)) / len(found))
        print(f"| **{group or 'geometric mean'}**, {len(found)} | | | {mean:.2f} |")
    runs = ROOT / "benches/runs"
    runs.mkdir(exist_ok=True)
    described = {"python": platform.python_version(), "kernel": platform.release(), "load_before": load}
    found = {"machine": described, "ratios": ratios, "native": native, "guest": guest}
    path = runs / f"{datetime.date.today()}-guest-{args.suite}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nraw values: {path.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
