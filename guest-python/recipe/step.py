"""A long step of the recipe: a folder named by the digest of its inputs.

A step whose folder exists is not run again.  The folder appears by one rename
after the step has succeeded, so an interrupted build leaves no half step.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from .paths import cache_root

_started = time.monotonic()
_count = 0
#: Kept up to date by cli.py so that the progress lines can say "n of N".
total_steps = 0


def say(text: str) -> None:
    print(f"[{time.monotonic() - _started:6.1f}s] {text}", flush=True)


def digest(*parts: object) -> str:
    """One sha256 over JSON values; paths are read, text and numbers are taken as they are."""
    h = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else json.dumps(part, sort_keys=True).encode()
        h.update(len(data).to_bytes(8, "big") + data)
    return h.hexdigest()


def step(name: str, key: str, make) -> Path:
    """The folder of step `name`; `make(folder)` fills it when it is not there yet."""
    global _count
    _count += 1
    head = f"step {_count}/{total_steps} {name}"
    folder = cache_root() / f"{name}-{key[:20]}"
    if folder.is_dir():
        say(f"{head}: cached")
        return folder
    say(f"{head}: running")
    begun = time.monotonic()
    work = folder.with_name(folder.name + f".part-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    make(work)
    if folder.is_dir():  # another build finished the same step meanwhile
        shutil.rmtree(work)
    else:
        work.rename(folder)
    say(f"{head}: done in {time.monotonic() - begun:.1f}s")
    return folder


def run(argv, *, cwd: Path, log: Path, env: dict | None = None) -> None:
    """Run one command with its output in `log`; on failure show the log's end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        out.write((" ".join(map(str, argv)) + "\n").encode())
        out.flush()
        done = subprocess.run([str(a) for a in argv], cwd=cwd, env=env,
                              stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.stderr.write(log.read_text(errors="replace")[-4000:])
        raise SystemExit(f"guest-python/build: command failed ({done.returncode}): {argv[0]}; whole log: {log}")


def jobs() -> str:
    return f"-j{os.cpu_count() or 1}"


def clean_env(**extra: str) -> dict:
    """An environment in which two machines build the same bytes."""
    env = {k: os.environ[k] for k in ("HOME", "PATH") if k in os.environ}
    env.update(LC_ALL="C.UTF-8", TZ="UTC", SOURCE_DATE_EPOCH="0", PYTHONHASHSEED="0",
               PYTHONDONTWRITEBYTECODE="1", ZERO_AR_DATE="1")
    env.update(extra)
    return env
