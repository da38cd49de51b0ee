"""The worker of Storm.java: says that it is ready, then ends as its first byte says."""

import os
import sys


def beyond():
    # An index of constants far outside of the memory: the interpreter loads from there.
    far = bytes([144, 0x30, 144, 0, 144, 0, 100, 0, 83, 0])  # EXTENDED_ARG three times, LOAD_CONST, RETURN_VALUE
    return eval(beyond.__code__.replace(co_code=far, co_consts=(), co_exceptiontable=b""))


def deep():
    """Recurses through C code, deeper than any stack: Python's own limit is lifted."""
    sys.setrecursionlimit(10**8)
    return max([0], key=lambda _: deep())


def main(infile, outfile):
    way, number = infile.read(1), infile.read(1)[0]
    outfile.write(b"ready")
    outfile.flush()
    if way == b"a":
        outfile.write(b"%d" % (number * 3 + 1))
    elif way == b"u":
        os.abort()
    elif way == b"o":
        beyond()
    elif way == b"s":
        deep()
    else:
        while True:
            number += 1
