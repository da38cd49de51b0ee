"""Question: what does it cost Python in the guest that it can be stopped?

    stopping.py [--rounds N]

The kernels of speed.py with polls and in a module compiled without any (feature `unstoppable` of the
runtime, which nothing else is built with), in turns, each time in a new process; of each kernel the
best time counts.  Both copy memory, the one by the guest's own functions, the other by wasmtime's.
Not measured: how soon a stop takes effect (benches/runtime/stops.rs).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from run import GUEST, HERE, IMAGE, ROOT, keep, measure, ratios_of

UNSTOPPABLE = GUEST.with_name("guest-unstoppable")


def build() -> None:
    command = ["cargo", "build", "--release", "--locked", "--example", "guest", "-p", "davy-runtime"]
    subprocess.run([*command, "--features", "unstoppable"], cwd=ROOT, check=True)
    shutil.copy(GUEST, UNSTOPPABLE)
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    build()
    programs = {"without polls": UNSTOPPABLE, "stoppable": GUEST}
    found: dict[str, list] = {name: [] for name in programs}
    for n in range(rounds + 1):
        print(f"round {n} of {rounds}, the first compiles", file=sys.stderr, flush=True)
        for name in sorted(programs, reverse=n % 2 == 1):
            times = measure([programs[name], IMAGE, HERE, "speed"])
            if n:
                found[name].append(times)
    ratios = ratios_of(found, ("without polls", "stoppable"))
    keep("guest-stopping", {"ratios": ratios, **found})


if __name__ == "__main__":
    main()
