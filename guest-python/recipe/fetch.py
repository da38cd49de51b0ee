"""Pinned inputs: every file is named by its sha256 and may come from several sources.

Sources, in the order tried:
 1. $DAVY_GUEST_INPUTS/<file>   a folder of files you keep yourself
 2. debian = "<archive>:<pool path>"   through the machine's own apt configuration
 3. pypi = "<name>==<version>"         through the machine's own pip configuration
 4. url = [...]                        public upstream addresses
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

from .paths import TREE, cache_root
from .step import say


def inputs() -> dict:
    return tomllib.loads((TREE / "inputs.toml").read_text())


def fetch(name: str) -> Path:
    """The verified file of the input `name`."""
    spec = inputs()[name]
    target = cache_root() / "inputs" / spec["sha256"][:16] / spec["file"]
    if target.is_file() and _sha256(target) == spec["sha256"]:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + f".part-{os.getpid()}")
    failures = []
    for source in _sources(spec):
        part.unlink(missing_ok=True)
        try:
            source(part)
        except Exception as error:  # the next source may still have it
            failures.append(str(error))
            continue
        if part.is_file() and _sha256(part) == spec["sha256"]:
            part.rename(target)
            say(f"fetched {spec['file']}")
            return target
        failures.append("a file with another digest")
    part.unlink(missing_ok=True)
    raise SystemExit(
        f"guest-python/build: no source has {name} ({spec['file']}, sha256 {spec['sha256']}).\n"
        "  Put the file into a folder and name that folder in DAVY_GUEST_INPUTS.\n  "
        + "\n  ".join(failures))


def _sources(spec: dict):
    kept = os.environ.get("DAVY_GUEST_INPUTS")
    if kept and (Path(kept) / spec["file"]).is_file():
        yield lambda part: shutil.copyfile(Path(kept) / spec["file"], part)
    if "debian" in spec and shutil.which("apt-get"):
        archive, pool = spec["debian"].split(":", 1)
        for base in _apt_bases(archive):
            yield lambda part, base=base: _apt(base + pool, spec["sha256"], part)
    if "pypi" in spec:
        yield lambda part: _pip(spec, part)
    for url in spec.get("url", []):
        yield lambda part, url=url: _http(url, part)


def _apt_bases(archive: str) -> list[str]:
    """The addresses under which this machine's apt knows an archive ("debian", "debian-security")."""
    listing = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"],
                             capture_output=True, text=True, check=False).stdout
    bases = {line.rstrip("/") + "/" for line in listing.splitlines() if line}
    return sorted(b for b in bases if b.rstrip("/").rsplit("/", 1)[-1] == archive)


def _apt(uri: str, sha256: str, part: Path) -> None:
    # apt's own downloader: it knows the machine's proxies, credentials and transports.
    # As root it would otherwise complain that user _apt cannot write into our folder.
    done = subprocess.run(["/usr/lib/apt/apt-helper", "-oAPT::Sandbox::User=root", "download-file",
                           uri.replace("~", "%7e").replace("+", "%2b"), str(part), f"SHA256:{sha256}"],
                          capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip() or "apt-helper failed")


def _pip(spec: dict, part: Path) -> None:
    folder = part.with_name(part.name + ".d")
    if spec["file"].endswith(".tar.gz"):
        # pip asks a source's build backend for its name and version before it keeps the file.
        kind = ["--no-binary=:all:", "--no-build-isolation"]
    elif spec["file"].endswith("none-any.whl"):
        kind = ["--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none"]
    else:
        kind = ["--only-binary=:all:"]
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind,
                           "--dest", str(folder), spec["pypi"]], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).with_name("pip_backends"))})
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    (folder / spec["file"]).rename(part)
    shutil.rmtree(folder)


def _http(url: str, part: Path) -> None:
    with urllib.request.urlopen(url) as answer, part.open("wb") as out:
        shutil.copyfileobj(answer, out)


def _sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
