"""`make smoke-versions`: the plugin on the Spark versions that the tests do not cover, a sample of
the cases each, compared with stock of the same version."""

from __future__ import annotations

import pathlib
import sys
import tempfile

from harness import registry
from harness.launch import DAVY, STOCK, run_cases

VERSIONS = ("4.1.4", "4.2.1")
MODULES = ("rdd", "shared_state", "udf_shapes", "udtf", "pandas_scalar", "pandas_grouped")


def main() -> int:
    cases, failed = registry.load(MODULES), 0
    for version in VERSIONS:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="davy-smoke-"))
        print(f"Spark {version}: stock ...", flush=True)
        stock = run_cases(version, STOCK, "local[2]", folder / STOCK, modules=MODULES).by_case
        print(f"Spark {version}: Davy ...", flush=True)
        davy = run_cases(version, DAVY, "local[2]", folder / DAVY, modules=MODULES).by_case
        different = []
        for name, expected in stock.items():
            plain = [{k: v for k, v in out.items() if k != "seconds"} for out in (expected, davy.get(name, {}))]
            if plain[0] != plain[1] and not cases[name].differs:
                different.append(name)
        print(f"Spark {version}: {len(stock)} cases, {len(different)} differ {different or ''}", flush=True)
        failed += len(different)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
