"""Packs the image: a zstd-compressed tar of manifest.json, module.wasm, files.tar and memory.snapshot."""
import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .cpython import CPython
from .fetch import inputs
from .freeze import ENVIRONMENT, freeze
from .key import base_key, recipe_key
from .paths import TREE, cache_root, image_path
from .step import digest, say, step
from .toolchain import Toolchain
from .tree import precompile
from .version import Version

#: Window of 2^27 bytes: the readers' default limit.
_LEVEL = ["-19", "--long=27", "-T2"]


def write_image(version: Version, tools: Toolchain, native: CPython, module: Path, tree: Path) -> Path:
    target = image_path(version.name)
    key = recipe_key(version)

    def make(folder: Path) -> None:
        files = folder / "files"
        shutil.copytree(tree, files)
        davy = files / "lib/davy"
        _copy_sources(TREE / "worker", davy)
        _copy_sources(TREE / "denials", davy / "denials")
        precompile(native, davy, "/usr/local/lib/davy")
        files_tar = _tar([(str(p.relative_to(files)), p) for p in sorted(files.rglob("*"))])
        pins = inputs()
        module_bytes = module.read_bytes()
        parts = [("module.wasm", module_bytes), ("files.tar", files_tar)]
        manifest = {
            "format": "davy-image",
            "format_version": 1,
            "abi": 1,
            "python": {"version": version.version, "minor": version.minor},
            "recipe": key,
            "base": base_key(version),
            "module": {"sha256": _sha256(module_bytes), "size": len(module_bytes)},
            "files": {"sha256": _sha256(files_tar), "size": len(files_tar)},
            # pyarrow is a part of Arrow's source.
            "packages": {p: pins["arrow" if p == "pyarrow" else p]["version"]
                         for p in [*version.packages, *version.compiled]},
            "inputs": {name: spec["sha256"] for name, spec in pins.items()},
        }
        shutil.rmtree(files)
        _compress(tools, ["-1"], manifest, parts, folder / "without")
        freeze(folder / "without", folder / "memory.snapshot", folder / "freeze.log")
        snapshot = (folder / "memory.snapshot").read_bytes()
        for made in ("without", "memory.snapshot"):
            (folder / made).unlink()
        manifest["snapshot"] = {"sha256": _sha256(snapshot), "size": len(snapshot), "env": ENVIRONMENT,
                                "module": manifest["module"]["sha256"], "files": manifest["files"]["sha256"]}
        parts.append(("memory.snapshot", snapshot))
        for name, data in parts:
            for place in (cache_root(), TREE):
                if str(place).encode() in data:
                    raise SystemExit(f"guest-python/build: {name} names {place}: another machine would make other bytes")
        _compress(tools, _LEVEL, manifest, parts, folder / "image")

    packed = step("image", digest(Path(__file__), key), make) / "image"
    target.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        part.write(packed.read_bytes())
    os.chmod(part.name, 0o644)
    os.replace(part.name, target)
    say(f"wrote {target} ({target.stat().st_size / 1e6:.1f} MB, recipe {key[:16]})")
    return target


def _compress(tools: Toolchain, level: list, manifest: dict, parts: list, target: Path) -> None:
    plain = target.with_suffix(".tar")
    plain.write_bytes(_tar([("manifest.json", (json.dumps(manifest, indent=1) + "\n").encode()), *parts]))
    subprocess.run([tools.zstd, "--quiet", *level, plain, "-o", target], check=True)
    plain.unlink()


@contextlib.contextmanager
def opened(image: Path):
    """The image's tar, to be read from its start to its end."""
    zstd = shutil.which("zstd")
    if zstd is None:
        raise SystemExit("guest-python/build: an image is read with the zstd command")
    reader = subprocess.Popen([zstd, "-dc", "--long=27", image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        with tarfile.open(fileobj=reader.stdout, mode="r|") as tar:
            yield tar
    finally:
        reader.kill()
        reader.wait()


def manifest_of(image: Path) -> dict:
    """The image's manifest; empty when there is no image."""
    if not image.is_file():
        return {}
    with opened(image) as tar:
        first = tar.next()
        return json.load(tar.extractfile(first)) if first is not None and first.name == "manifest.json" else {}


def _copy_sources(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True,
                    ignore=lambda _, names: [n for n in names if n.startswith(("__pycache__", ".")) or n.endswith(".pyc")])


def _tar(entries: list) -> bytes:
    """A tar whose bytes depend on names and contents only."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, Path) and content.is_dir():
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
                continue
            data = content.read_bytes() if isinstance(content, Path) else content
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
