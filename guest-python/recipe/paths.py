"""Where the recipe lies, and where its long steps are kept."""
import os
from pathlib import Path

#: The folder guest-python/ of the tree.
TREE = Path(__file__).resolve().parent.parent


def cache_root() -> Path:
    """The folder of everything that can be made again; never inside the tree."""
    base = os.environ.get("DAVY_CACHE")
    return (Path(base) if base else Path.home() / ".cache" / "davy") / "guest"


def image_path(name: str) -> Path:
    return TREE / "images" / f"python-{name}.davy"


def patches(name: str) -> list[Path]:
    """All patches of one folder of patches/, in the order of their names."""
    return sorted((TREE / "patches" / name).glob("*.patch"))
