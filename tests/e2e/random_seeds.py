"""`make test-random`: the random comparisons with other seeds than the tests', on stock and Davy, as many as wanted.

    random_seeds.py [--seeds N] [--first SEED]

Each seed makes a case in each of the modules: tens of queries, hundreds of outcomes. Where outcomes differ, the
case's name has the seed; what it was is found again by `--seeds 1 --first SEED`.
"""

from __future__ import annotations

import argparse
import ast
import concurrent.futures
import os
import pathlib
import random
import sys
import tempfile

from harness import registry
from harness.launch import DAVY, STOCK, run_cases

VERSION = "4.3.0"
MODULES = ("columnar_random", "grouped_random", "window_random", "udtf_random", "random_types")
#: Seeds between two lines of progress.
STEP = 4


def outcomes(compared: dict) -> list:
    """What a case told, one entry an outcome; a case that failed is one."""
    if "value" not in compared:
        return [compared]
    return [one for query in ast.literal_eval(compared["value"]) for one in query]


def compare(seeds: range, folder: pathlib.Path) -> tuple[int, list[str]]:
    """How many outcomes were compared, and a line for each case that differs."""
    # For this process and those of the cases.
    os.environ["E2E_SEEDS"] = f"{seeds[0]}:{seeds[-1]}"
    registry.CASES.clear()
    for name in [*(f"cases.{module}" for module in MODULES), "cases.seeds"]:
        sys.modules.pop(name, None)
    cases = registry.load(MODULES)
    names = registry.names(VERSION, MODULES)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = {
            mode: pool.submit(run_cases, VERSION, mode, "local[2]", folder / mode, names, timeout=7200)
            for mode in (STOCK, DAVY)
        }
        found = {mode: run.result() for mode, run in runs.items()}
    count, different = 0, []
    for name in names:
        stock, davy = (outcomes(found[mode].comparable(cases[name])) for mode in (STOCK, DAVY))
        count += len(stock)
        if stock != davy:
            pairs = [
                f"{i}: stock {s!r}, Davy {d!r}" for i, (s, d) in enumerate(zip(stock, davy, strict=False)) if s != d
            ]
            different.append(f"{name}: {len(pairs) or 'their number of'} outcomes differ {' '.join(pairs[:1])[:600]}")
    return count, different


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=random.SystemRandom().randrange(1000, 10**6))
    args = parser.parse_args()
    total, failed = 0, 0
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="davy-random-"))
    print(f"{args.seeds} seeds from {args.first}", flush=True)
    for first in range(args.first, args.first + args.seeds, STEP):
        seeds = range(first, min(first + STEP, args.first + args.seeds))
        count, different = compare(seeds, scratch / str(first))
        total, failed = total + count, failed + len(different)
        print(f"seeds {seeds[0]} to {seeds[-1]}: {count} outcomes", *different, sep="\n  ", flush=True)
    print(f"{total} outcomes compared, {failed} cases differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
