"""`make record-stock`: runs on stock PySpark what has no valid record, and records it.

    python record_stock.py [--all] [--check]

`--all` runs everything anew; `--check` runs nothing and fails if a record is stale.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import pathlib
import sys
import tempfile

from harness import registry, stock
from harness.launch import STOCK, Outcomes, run_cases


def run(version: str, modules: list[str], folder: pathlib.Path) -> None:
    names = stock.compared(version, modules)
    print(f"Spark {version}: {len(names)} cases of {', '.join(modules)}", flush=True)
    found = run_cases(version, STOCK, "local[2]", folder, names, timeout=3600) if names else Outcomes({}, "")
    for module in modules:
        own = [name for name in names if registry.module_of(name) == module]
        if bad := [name for name in own if "timeout" in found.by_case.get(name, {"timeout": True})]:
            # An overloaded machine, perhaps: not to be remembered.
            print(f"{module} is not recorded, these did not end: {bad}", flush=True)
            continue
        stock.record(version, module, {name: found.comparable(registry.CASES[name]) for name in own})


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    todo = {v: list(registry.MODULES) if args.all else stock.stale(v) for v in stock.VERSIONS}
    if args.check:
        for version, modules in todo.items():
            if modules:
                print(f"no valid record of stock Spark {version} for {', '.join(modules)}: run `make record-stock`")
        return 1 if any(todo.values()) else 0
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="davy-stock-"))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = []
        for version, modules in todo.items():
            registry.load(modules)
            for part, members in registry.PARTS.items():
                if chosen := [m for m in modules if m in members]:
                    jobs.append(pool.submit(run, version, chosen, scratch / f"{version}-{part}"))
        for job in jobs:
            job.result()
    return 1 if any(map(stock.stale, stock.VERSIONS)) else 0


if __name__ == "__main__":
    sys.exit(main())
