"""The compiled base of an image that is there already: a change of Davy's own Python files needs no compiler."""
import shutil
import tarfile
from pathlib import Path

from .image import manifest_of, opened
from .key import base_key
from .paths import image_path
from .step import say, step
from .version import Version


def carries_base(version: Version) -> bool:
    """Whether the image in the tree was made from what the tree would compile now."""
    carried = manifest_of(image_path(version.name)).get("base") == base_key(version)
    if carried:
        say("the image of before holds what would be compiled (--whole compiles it all the same)")
    return carried


def base_of(version: Version) -> tuple[Path, Path]:
    """Module and Python files of the image in the tree, without Davy's own."""

    def make(folder: Path) -> None:
        with opened(image_path(version.name)) as image:
            for entry in image:
                with image.extractfile(entry) as content, (folder / entry.name).open("wb") as out:
                    shutil.copyfileobj(content, out)
        with tarfile.open(folder / "files.tar") as files:
            files.extractall(folder / "files", filter="data")
        shutil.rmtree(folder / "files/lib/davy")

    folder = step("base", base_key(version), make)
    return folder / "module.wasm", folder / "files"
