"""How fast are numpy, pandas and pyarrow inside the guest, next to the same releases outside?

Typical work of a vectorised UDF, on batches of 10,000 rows unless the name says otherwise; each kernel is
the best of several rounds of at least 50 ms.  Started as speed.py is; natively with one thread, as a task has.
"""

import json
import os
import sys
import time

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_DEFAULT_CPU_COUNT"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute as pc  # noqa: E402

_RNG = np.random.default_rng(20)
_N = 10_000
_A, _B = pd.Series(_RNG.random(_N)), pd.Series(_RNG.random(_N))
_WORDS = pd.Series([f"Word {k} of the day" for k in _RNG.integers(0, 500, _N)])
_FRAME = pd.DataFrame({"k": _RNG.integers(0, 100, _N), "v": _A})
_OTHER = pd.DataFrame({"k": np.arange(100), "w": _RNG.random(100)})
_DATES = pd.Series([f"2024-{n % 12 + 1:02d}-{n % 28 + 1:02d}" for n in _RNG.integers(0, 1 << 30, _N)])
_LARGE = _RNG.random(1_000_000)
_SQUARE = _RNG.random((300, 300))
_INTS = pa.array(_RNG.integers(0, 1 << 30, _N))
_FLOATS = pa.array(_RNG.random(_N))
_MASK = pa.array(_RNG.random(_N) < 0.5)
_PICK = pa.array(_RNG.permutation(_N))
_TABLE = pa.table({
    **{f"i{n}": _INTS for n in range(3)},
    **{f"f{n}": _FLOATS for n in range(3)},
    "s0": pa.array(_WORDS),
    "s1": pa.array(_DATES),
    "b": _MASK,
    "t": pa.array(_RNG.integers(0, 1 << 40, _N)).cast(pa.timestamp("us")),
})  # fmt: skip

#: The first word of a name is the kernel's group.
KERNELS = {
    "pandas arithmetic": lambda: (_A * 2 + _B / 3 - 1).clip(0, 1),
    "pandas str.upper": lambda: _WORDS.str.upper(),
    "pandas str.contains": lambda: _WORDS.str.contains("7 of"),
    "pandas groupby mean": lambda: _FRAME.groupby("k").v.mean(),
    "pandas merge": lambda: _FRAME.merge(_OTHER, on="k"),
    "pandas to_datetime": lambda: pd.to_datetime(_DATES),
    "numpy add 1M": lambda: _LARGE + _LARGE,
    "numpy sqrt 1M": lambda: np.sqrt(_LARGE),
    "numpy exp 1M": lambda: np.exp(_LARGE),
    "numpy where 1M": lambda: np.where(_LARGE > 0.5, _LARGE, 0.0),
    "sort 1M": lambda: np.sort(_LARGE),
    "matmul 300x300": lambda: _SQUARE @ _SQUARE,
    "arrow add": lambda: pc.add(_INTS, _INTS),
    "arrow filter": lambda: pc.filter(_INTS, _MASK),
    "arrow take": lambda: pc.take(_FLOATS, _PICK),
    "arrow cast": lambda: pc.cast(_INTS, pa.float64()),
    "arrow sort": lambda: pc.sort_indices(_FLOATS),
    "table to_pandas": lambda: _TABLE.to_pandas(),
}


def measure(rounds):
    for name, kernel in KERNELS.items():
        kernel()
        begun = time.perf_counter()
        kernel()
        times = max(1, int(0.05 / max(time.perf_counter() - begun, 1e-7)))
        best = float("inf")
        for _ in range(rounds):
            begun = time.perf_counter()
            for _ in range(times):
                kernel()
            best = min(best, (time.perf_counter() - begun) / times)
        yield {"kernel": name, "ms": round(best * 1e3, 5)}


def main(infile, outfile):
    """The guest's entry; the first line of input is the number of rounds."""
    for result in measure(int(infile.readline().strip() or 3)):
        outfile.write((json.dumps(result) + "\n").encode())
        outfile.flush()


if __name__ == "__main__":
    for result in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        print(json.dumps(result), flush=True)
