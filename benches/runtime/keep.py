"""Keeps the figures of the last run: one JSON file under benches/runs, criterion's in nanoseconds."""

from __future__ import annotations

import datetime
import json
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main() -> None:
    found = {"load_after": os.getloadavg()[0]}
    for estimates in sorted((ROOT / "target/criterion").glob("**/new/estimates.json")):
        name = str(estimates.parent.parent.relative_to(ROOT / "target/criterion"))
        figures = json.loads(estimates.read_text())
        found[name] = {k: figures[k]["point_estimate"] for k in ("median", "mean", "std_dev") if figures.get(k)}
        sample = json.loads((estimates.parent / "sample.json").read_text())
        found[name]["samples"] = [round(t / n, 1) for t, n in zip(sample["times"], sample["iters"], strict=True)]
        print(f"{name}: median {found[name]['median'] / 1e6:.3f} ms")
    runs = ROOT / "benches/runs"
    runs.mkdir(exist_ok=True)
    # Whole programs keep their figures in files of their own.
    for file in sorted((ROOT / "target/davy-benches").glob("*.json")):
        figures = {"cores": os.cpu_count(), "load_after": os.getloadavg()[0], "figures": json.loads(file.read_text())}
        (runs / f"{datetime.date.today()}-{file.name}").write_text(json.dumps(figures, indent=1) + "\n")
    path = runs / f"{datetime.date.today()}-runtime.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"raw values: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
