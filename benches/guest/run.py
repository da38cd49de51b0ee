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


def ratios_of(found: dict[str, list[dict[str, float]]], pair: tuple[str, str], grouped: bool = False) -> dict:
    """Prints the best times of both and the second's by the first's, with the geometric mean of each group."""
    first, second = ({k: min(run[k] for run in found[name]) for k in found[name][0]} for name in pair)
    ratios = {k: second[k] / first[k] for k in first}
    print(f"| kernel | {pair[0]}, ms | {pair[1]}, ms | {pair[1]} / {pair[0]} |\n|---|---|---|---|")
    for k, ratio in ratios.items():
        print(f"| {k} | {first[k]:.1f} | {second[k]:.1f} | {ratio:.2f} |")
    groups = {}
    for kernel, ratio in ratios.items():
        groups.setdefault(kernel.split()[0] if grouped else "geometric mean", []).append(ratio)
    for group, members in groups.items():
        mean = math.exp(sum(map(math.log, members)) / len(members))
        print(f"| **{group}**, {len(members)} | | | {mean:.3f} |")
    return ratios


def keep(name: str, found: dict) -> None:
    """Writes raw values to benches/runs."""
    described = {"python": platform.python_version(), "kernel": platform.release(), "load": os.getloadavg()[0]}
    path = ROOT / "benches/runs" / f"{datetime.date.today()}-{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": described, **found}, indent=1) + "\n")
    print(f"\nraw values: {path.relative_to(ROOT)}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("suite", nargs="?", choices=("speed", "kernels"), default="speed")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    found: dict[str, list] = {"native": [], "guest": []}
    for n in range(args.rounds):
        print(f"round {n + 1} of {args.rounds}", file=sys.stderr, flush=True)
        found["native"].append(measure([sys.executable, HERE / f"{args.suite}.py", "3"]))
        found["guest"].append(measure([GUEST, IMAGE, HERE, args.suite]))
    ratios = ratios_of(found, ("native", "guest"), grouped=args.suite == "kernels")
    keep(f"guest-{args.suite}", {"ratios": ratios, **found})


if __name__ == "__main__":
    main()
