"""A packed environment of pure Python, as `venv-pack` would make one."""

from __future__ import annotations

import pathlib
import tarfile
import tempfile


def archive(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "toolbox.tar.gz"
    with tempfile.TemporaryDirectory() as scratch:
        site = pathlib.Path(scratch, "lib/python3.11/site-packages/toolbox")
        site.mkdir(parents=True)
        (site / "__init__.py").write_text("from .inner import treble\n")
        (site / "inner.py").write_text("def treble(x):\n    return 3 * x\n")
        (site / "table.json").write_text('{"é": 1}')
        with tarfile.open(path, "w:gz") as tar:
            tar.add(pathlib.Path(scratch, "lib"), "lib")
    return path
