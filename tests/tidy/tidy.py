"""Conventions, checked by code: sizes, machine paths, where unsafe may stand and that it argues."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNSAFE = {
    "runtime/src/interrupt.rs",
    "runtime/src/snapshot.rs",
    "runtime/src/compiled.rs",
    "jni-bridge/src/batches.rs",
    "jni-bridge/src/buffers.rs",
    "jni-bridge/src/exports.rs",
}
MACHINE_PATH = re.compile(r"(?<![\w.$}*])/(?:work|root|home|farm)/\w|/tmp/[a-z]\w*/")
CODE = {".rs", ".scala", ".java", ".py", ".c", ".h", ".sh"}


def tracked() -> list[pathlib.Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def faults(path: pathlib.Path):
    name = str(path.relative_to(ROOT))
    if path.stat().st_size > 30 << 20:
        yield f"{name}: over 30 MiB"
    if path.suffix not in CODE and path.suffix not in {".md", ".toml", ".xml", ""}:
        return
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return
    lines = text.splitlines()
    if path.suffix in CODE and len(lines) > 800:
        yield f"{name}: {len(lines)} lines; split it"
    if "patches" not in path.parts and path.name not in {"tidy.py", "LICENSE"}:
        for number, line in enumerate(lines, 1):
            if MACHINE_PATH.search(line):
                yield f"{name}:{number}: a path of one machine: {line.strip()[:80]}"
    if path.suffix == ".rs":
        blocks = [n for n, line in enumerate(lines) if re.search(r"\bunsafe\s*\{", line)]
        if (blocks or "allow(unsafe_code)" in text) and name not in UNSAFE:
            yield f"{name}: unsafe outside the files named in ARCHITECTURE.md"
        for n in blocks:
            if not any("SAFETY:" in line for line in lines[max(0, n - 10) : n]):
                yield f"{name}:{n + 1}: unsafe without a SAFETY argument"


def main() -> int:
    found = [fault for path in tracked() for fault in faults(path)]
    print("\n".join(found) or "conventions hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
