"""`make test-3.13`: every case with a driver of another Python and the image built for it, compared with stock on
the same Python; and that a driver without its image hears why it cannot run.

    python other_python.py MINOR [MODULE…]
"""

from __future__ import annotations

import concurrent.futures
import pathlib
import sys
import tempfile

from harness import registry
from harness.launch import DAVY, ROOT, STOCK, run_cases

SPARK = "4.3.0"
MISMATCH = "Davy's image holds Python {} and the driver runs Python {}"


def _image(minor: str) -> dict[str, str]:
    return {"spark.davy.image": str(ROOT / f"guest-python/images/python-{minor}.davy")}


def _mismatched(driver: str, environment: str, image: str, folder: pathlib.Path) -> bool:
    """Whether a driver says which Python the image holds, and which one it runs itself."""
    name = "rdd.map_filter"
    found = run_cases(environment, DAVY, "local[2]", folder, [name], conf=_image(image)).by_case[name]
    return MISMATCH.format(image, driver) in found.get("error", {}).get("message", "")


def main(minor: str, *modules: str) -> int:
    environment = f"{SPARK}-python-{minor}"
    names = registry.names(SPARK, modules or registry.MODULES)
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"davy-python-{minor}-"))
    jobs = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for part, members in registry.PARTS.items():
            own = [name for name in names if registry.module_of(name) in members]
            for mode, conf in ((STOCK, None), (DAVY, _image(minor))):
                if own:
                    place = folder / f"{mode}-{part}"
                    run = pool.submit(run_cases, environment, mode, "local[2]", place, own, conf=conf, timeout=3600)
                    jobs |= {(mode, name): run for name in own}
    different = []
    for name in names:
        stock, davy = (jobs[mode, name].result().comparable(registry.CASES[name]) for mode in (STOCK, DAVY))
        if stock != davy:
            different.append(name)
            print(f"{name}\n  stock: {stock}\n  davy:  {davy}", flush=True)
    refused = (
        _mismatched(minor, environment, "3.11", folder / "image-3.11"),
        _mismatched("3.11", SPARK, minor, folder / f"image-{minor}"),
    )
    print(f"Python {minor}: {len(names)} cases, {len(different)} differ {different or ''}; outcomes: {folder}")
    print(f"another Python is refused with its sentence: {all(refused)}")
    return 0 if all(refused) and not different else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
