"""`make smoke-versions`: the plugin on the Spark versions that the tests do not cover, a sample of
the cases each, compared with stock of the same version."""

from __future__ import annotations

import pathlib
import sys
import tempfile

from harness import registry
from harness.launch import DAVY, STOCK, run_cases

VERSIONS = ("4.1.4", "4.2.1")
MODULES = (
    *("rdd", "shared_state", "udf_shapes", "udtf", "pandas_scalar", "pandas_map", "pandas_grouped", "arrow_grouped"),
    *("arrow_scalar", "arrow_udf_types", "arrow_udf_wrong", "arrow_udtf", "groups_clustered", "window_frames"),
)


def main() -> int:
    cases, failed = registry.load(MODULES), 0
    for version in VERSIONS:
        folder, names = pathlib.Path(tempfile.mkdtemp(prefix="davy-smoke-")), registry.names(version, MODULES)
        found = {}
        for mode in (STOCK, DAVY):
            print(f"Spark {version}: {mode} ...", flush=True)
            found[mode] = run_cases(version, mode, "local[2]", folder / mode, names)
        different = [n for n in names if found[STOCK].comparable(cases[n]) != found[DAVY].comparable(cases[n])]
        print(f"Spark {version}: {len(names)} cases, {len(different)} differ {different or ''}", flush=True)
        failed += len(different)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
