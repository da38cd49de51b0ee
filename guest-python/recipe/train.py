"""Makes the optimisation profile: a native, instrumented build of the same source runs
CPython's own training set (python -m test --pgo).

A profile counts source regions, so one taken natively serves the WASI compile.  Without
computed gotos, because WebAssembly has none and the loop would be another function.  Runs
differ a little from each other, so the merged profile is an input kept in the tree.
"""
import lzma
import shutil
import subprocess
from pathlib import Path

from .cpython import _source_key, build_native
from .step import digest, run, say, step
from .toolchain import Toolchain
from .version import Version

_COUNT = "-fprofile-instr-generate -mllvm -enable-value-profiling=true -mllvm -vp-counters-per-site=3"


def train(version: Version, tools: Toolchain) -> None:
    key = digest(Path(__file__), tools.key, _source_key(version))

    # The build runs its own interpreter; those runs are not part of the training.
    build = step("profile-build", key, lambda folder: build_native(
        version, tools, folder, ["-O2"], ["--without-computed-gotos"], targets=["python", "pybuilddir.txt"],
        cflags=_COUNT, ldflags="-fprofile-instr-generate", env={"LLVM_PROFILE_FILE": "/dev/null"}))

    def make(folder: Path) -> None:
        (folder / "raw").mkdir()
        # Some test modules fail on some machines: what ran is what counts.
        say("training: python -m test --pgo")
        with (folder / "train.log").open("wb") as log:
            subprocess.run(["timeout", "1200", "./python", "-m", "test", "--pgo", "--timeout=120"],
                           cwd=build / "src", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                           env=tools.env(LLVM_PROFILE_FILE=str(folder / "raw/p-%4m.profraw")))
        if b"Total duration" not in (folder / "train.log").read_bytes():
            raise SystemExit(f"guest-python/build: the training did not run: {folder}/train.log")
        run([tools.bin / "llvm-profdata", "merge", "-o", folder / "guest.profdata",
             *sorted((folder / "raw").glob("*.profraw"))], cwd=folder, log=folder / "build.log", env=tools.env())
        shutil.rmtree(folder / "raw")

    profile = step("profile", key, make) / "guest.profdata"
    target = version.profile_path()
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(lzma.compress(profile.read_bytes(), preset=9))
    say(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB)")
