"""The image's own snapshot: the guest run as far as no session has a say, by the runtime of this tree.

What it is run in, its clocks and random bytes among it, stands still (runtime/src/freeze.rs): the same recipe
makes the same bytes. The machine code that is compiled for it is what the image's users on this machine need.
"""
import os
import shutil
from pathlib import Path

from .paths import TREE, cache_root
from .step import run

#: What the frozen guest has read of its environment; guests with another one do not start from there.
#: Spark fixes the seed of its workers' hashes, and to this.
ENVIRONMENT = {"PYTHONHASHSEED": "0"}


def freeze(image: Path, target: Path, log: Path) -> None:
    """Writes the snapshot of `image`, which holds none yet, to `target`."""
    cargo = shutil.which("cargo") or Path.home() / ".cargo/bin/cargo"
    if not Path(cargo).is_file():
        raise SystemExit("guest-python/build: Rust (cargo) is needed to run the guest for the image's snapshot")
    variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    run([cargo, "run", "--release", "--locked", "--quiet", "-p", "davy-runtime", "--example", "freeze", "--",
         image, target, *variables],
        cwd=TREE.parent, log=log, env={**os.environ, "DAVY_CACHE": str(cache_root().parent)})
