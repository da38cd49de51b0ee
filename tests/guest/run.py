"""Question: how many of their own tests do Python, numpy, pandas and pyarrow pass inside the guest?

    run.py [SUITE...] [--files REGEX] [--only REGEX] [--again | --failed] [--minutes N] [--image FILE]

Each file of tests runs in a fresh sandbox with a deadline and a memory limit; a sandbox that is
stopped costs the test in flight, and the rest of its file goes on in the next one. Results are
kept in target/guest-tests, one JSON line a test; a file that has results is not run again unless
`--again` is given. `report.py` sums them up.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import overlay
import report
import suites

ROOT = overlay.ROOT
RESULTS = ROOT / "target/guest-tests"
LINES = ROOT / "target/release/examples/lines"
#: Sandboxes that one file may use up before the rest of it is given up.
MOST_SANDBOXES = 25


class Guests:
    """The host program that runs each request in a sandbox of its own."""

    def __init__(self, suite: suites.Suite, image: Path, mounted: Path):
        inside = suites.HERE / "inside"
        mounts = {
            overlay.SHOWN: str(mounted / f"lib/python{overlay.MINOR}"),
            "/usr/local/bin": str(mounted / "bin"),
            "/davy-tests": str(inside),
        }
        session = {
            "worker": "davy_tests",
            "sys_path": ["/davy-tests"],
            "env": {"GUEST_SUITE": suite.name, **suite.env},
            "mounts": mounts,
            "scratch": str(RESULTS / f"scratch-{suite.name}"),
            "memory_mib": suite.memory_mib,
            "cpu_seconds": suite.cpu_seconds,
            "deadline_seconds": 4 * suite.cpu_seconds,
        }
        cache = os.environ.get("DAVY_CACHE") or str(Path.home() / ".cache/davy")
        self.log = (RESULTS / f"{suite.name}.log").open("ab")
        self.process = subprocess.Popen(
            [LINES, image, json.dumps(session)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, "DAVY_CACHE": cache},
            bufsize=0,
        )
        self.output = self.process.stdout and os.fdopen(os.dup(self.process.stdout.fileno()), "rb")

    def ask(self, request: dict):
        """The lines that one sandbox answered; the last is {"sandbox": …}."""
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        for raw in self.output:
            try:
                line = json.loads(raw)
            except ValueError:
                continue  # half a line of a sandbox that was stopped
            yield line
            if "sandbox" in line:
                return
        raise SystemExit(f"the host program ended: see {self.log.name}")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run_file(guests: Guests, suite: suites.Suite, name: str, only: str | None) -> list[dict]:
    results, finished, mib, cpu = [], 0, 0, 0
    for _ in range(MOST_SANDBOXES):
        request = {"file": name, "skip": finished, "without": suite.left_out(), "only": only, "options": suite.options}
        running, collected, fault = None, False, None
        for line in guests.ask(request):
            if "start" in line:
                running = line["start"]
            elif "collected" in line:
                collected = True
            elif "sandbox" in line:
                fault = line["sandbox"]["fault"]
                mib, cpu = max(mib, line["sandbox"]["mib"]), cpu + line["sandbox"]["cpu_ms"]
            elif "id" in line:
                results.append(line)
                if line["id"] == running:
                    finished, running = finished + 1, None
        if fault is None and running is None:
            break
        results.append({"id": running or name, "outcome": "stopped", "message": fault or "the guest ended"})
        finished += running is not None
        if not collected or running is None:
            break
    else:
        results.append({"id": name, "outcome": "stopped", "message": f"given up after {MOST_SANDBOXES} sandboxes"})
    for line in results:
        line["file"] = name
    results.append({"file": name, "done": True, "mib": mib, "cpu_ms": cpu})
    return results


def run_suite(suite: suites.Suite, args, image: Path, mounted: Path, until: float) -> None:
    path = RESULTS / f"{suite.name}.jsonl"
    kept = report.read(path)
    wanted = [f for f in suite.files(mounted) if not args.files or re.search(args.files, f)]
    if args.failed:
        wanted = [
            f for f in wanted if any(report.classify(suite, r)[0] == "failed" for r in kept.get(f, ()) if "id" in r)
        ]
    elif not args.again:
        wanted = [f for f in wanted if f not in kept]
    guests = Guests(suite, image, mounted)
    for number, name in enumerate(wanted, 1):
        if time.time() > until:
            print(f"{suite.name}: the time is over, {len(wanted) - number + 1} files are left", flush=True)
            break
        began = time.time()
        results = run_file(guests, suite, name, args.only)
        with path.open("a") as out:
            out.writelines(json.dumps(line) + "\n" for line in results)
        counts = report.counts(suite, {name: results})
        print(f"[{number}/{len(wanted)}] {name}: {counts}, {time.time() - began:.0f} s", flush=True)
    guests.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    known = suites.names()
    parser.add_argument("suite", nargs="*", default=[], choices=[*known, []], metavar="SUITE")
    parser.add_argument("--files", help="only files whose path this regular expression finds")
    parser.add_argument("--only", help="only tests whose id this regular expression finds")
    parser.add_argument("--again", action="store_true", help="also files that have results")
    parser.add_argument("--failed", action="store_true", help="only files with failures, again")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no file after so many minutes")
    parser.add_argument("--image", type=Path, default=ROOT / "guest-python/images/python-3.11.davy")
    args = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    mounted = overlay.overlay(args.image)
    until = time.time() + 60 * args.minutes
    for name in args.suite or known:
        run_suite(suites.load(name), args, args.image.resolve(), mounted, until)
    print()
    return report.show(args.suite or known, RESULTS)


if __name__ == "__main__":
    sys.exit(main())
