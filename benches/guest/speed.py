"""How fast is pure Python inside the guest, next to the same Python outside?

Eleven small kernels, each the best of several rounds, printed as one JSON line
{"kernel": name, "ms": milliseconds}.  Natively: `python3.11 speed.py [rounds]`.
In the guest: a session with "worker": "speed" calls main(infile, outfile).

Not measured: start-up, the channel, Arrow, anything that leaves the interpreter.
"""

import json
import pickle
import random
import re
import sys
import time

_RNG = random.Random(20)
_RECORDS = [
    {"key": i, "label": f"label-{i}", "score": i / 7, "parts": ["x", str(i)], "gone": None, "good": i % 2 == 0}
    for i in range(4000)
]
_NUMBERS = [_RNG.random() for _ in range(150_000)]
_STRINGS = [repr(x) for x in _NUMBERS[:50_000]]
_WORDS = [f"Word{_RNG.randrange(5000)}" for _ in range(80_000)]
_LOG = "\n".join(
    f"2024-{i % 12 + 1:02d}-{i % 28 + 1:02d} host{i % 17}.example.org GET /item/{i}?q={i * 31 % 997} {200 + i % 5}"
    for i in range(7000)
)
_LINE = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\S+) (GET|POST) (\S+) (\d{3})")
_QUERY = re.compile(r"[?&]q=(\d+)")


def nested_loops():
    total = 0
    for i in range(900):
        for j in range(900):
            total += (i ^ j) & 15
    return total


def float_math():
    x = y = 0.0
    for i in range(1, 500_000):
        x += (i % 7) / i
        y = y * 0.999 + x
    return y


def word_count():
    counts = {}
    for word in _WORDS:
        word = word.strip().lower().replace("word", "w-")
        counts[word] = counts.get(word, 0) + 1
    return len(counts)


def calls():
    def ackermann_ish(n):
        return n if n < 2 else ackermann_ish(n - 1) + ackermann_ish(n - 2)

    return ackermann_ish(25)


class _Vector:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y

    def plus(self, other):
        return _Vector(self.x + other.x, self.y - other.y)


def objects():
    here, step = _Vector(0, 0), _Vector(2, 3)
    for _ in range(180_000):
        here = here.plus(step)
    return here.x


def json_round_trip():
    return len(json.loads(json.dumps(_RECORDS)))


def regex():
    return len(_LINE.findall(_LOG)) + len(_QUERY.findall(_LOG))


def sorting():
    return sorted(_NUMBERS)[0], sorted(_STRINGS)[0], sorted(_NUMBERS[:50_000], key=lambda v: -v)[0]


def pickle_round_trip():
    return len(pickle.loads(pickle.dumps(_RECORDS, 5)))


def generators():
    return sum(i * i for i in range(500_000) if i % 3)


def comprehensions():
    return len([a * b for a in range(600) for b in range(600)]) + len({i: str(i) for i in range(60_000)})


KERNELS = [
    nested_loops,
    float_math,
    word_count,
    calls,
    objects,
    json_round_trip,
    regex,
    sorting,
    pickle_round_trip,
    generators,
    comprehensions,
]


def measure(rounds):
    for kernel in KERNELS:
        kernel()  # caches, specialised byte code
        best = float("inf")
        for _ in range(rounds):
            begun = time.perf_counter()
            kernel()
            best = min(best, time.perf_counter() - begun)
        yield {"kernel": kernel.__name__, "ms": round(best * 1e3, 3)}


def main(infile, outfile):
    """The guest's entry; the first line of input is the number of rounds."""
    for result in measure(int(infile.readline().strip() or 3)):
        outfile.write((json.dumps(result) + "\n").encode())
        outfile.flush()


if __name__ == "__main__":
    for result in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5):
        print(json.dumps(result), flush=True)
