"""Sums up what run.py kept: `report.py [SUITE...]` prints the tables of docs/guest-tests.md.

A test counts as passed or failed; skipped are those that skip themselves or that upstream expects
to fail. A failure that belongs to a group that cannot apply counts as neither.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import suites

MOST_LINES = 40
NOT_EXPLAINED = "not explained yet"
FAILED = ("failed", "error", "stopped")


def read(path: Path) -> dict[str, list[dict]]:
    """File of tests → its results; the last run of a file counts."""
    found, current = {}, []
    for line in path.read_text().splitlines() if path.is_file() else ():
        line = json.loads(line)
        current.append(line)
        if line.get("done"):
            found[line["file"]] = current
            current = []
    return found


def classify(suite: suites.Suite, result: dict) -> tuple[str, str]:
    """The kind of a result, and the reason if it is a failure with one."""
    outcome = result["outcome"]
    if outcome not in FAILED:
        return ("skipped" if outcome in ("skipped", "xfailed") else outcome), ""
    for kind, groups in (("cannot apply", suite.cannot_apply), ("failed", suite.differs)):
        for group in groups:
            if group.holds(result):
                return kind, group.reason
    return "failed", NOT_EXPLAINED


def counts(suite: suites.Suite, files: dict[str, list[dict]]) -> str:
    kinds = Counter(classify(suite, r)[0] for found in files.values() for r in found if "id" in r)
    return (
        ", ".join(f"{kinds[k]} {k}" for k in ("passed", "failed", "skipped", "cannot apply") if kinds[k]) or "no tests"
    )


def show(names: list[str], folder: Path) -> int:
    print("| Suite | files | passed | failed | skipped | cannot apply | passed of those that count |")
    print("|---|---|---|---|---|---|---|")
    reasons, unexplained = {"cannot apply": [], "failed": []}, []
    for name in names:
        suite = suites.load(name)
        files = {f: found for f, found in read(folder / f"{name}.jsonl").items() if not suite.leaves_out(f)}
        results = [result for found in files.values() for result in found if "id" in result]
        classified = [(result, *classify(suite, result)) for result in results]
        kinds = Counter(kind for _, kind, _ in classified)
        ran = kinds["passed"] + kinds["failed"]
        # Rounded down: 100 % is said of nothing that failed.
        share = f"{10_000 * kinds['passed'] // ran / 100:.2f} %" if ran else "–"
        numbers = [f"{kinds[kind]:,}" for kind in ("passed", "failed", "skipped", "cannot apply")]
        print(f"| {name} | {' | '.join([str(len(files)), *numbers, share])} |")
        for (kind, reason), n in Counter((k, r) for _, k, r in classified if r).most_common():
            reasons[kind].append(f"| {name} | {n} | {reason} |")
        unexplained += [result for result, _, reason in classified if reason == NOT_EXPLAINED]
    for kind, lines in reasons.items():
        print(f"\n| Suite | {kind} | why |\n|---|---|---|")
        print("\n".join(lines))
    for result in unexplained[:MOST_LINES]:
        message = (result.get("message") or "").split("\n")[0]
        print(f"{result['outcome']} {result['id']}: {message}", file=sys.stderr)
    if unexplained[MOST_LINES:]:
        print(f"and {len(unexplained) - MOST_LINES} more that are not explained", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(show(sys.argv[1:] or suites.names(), suites.HERE.parents[1] / "target/guest-tests"))
