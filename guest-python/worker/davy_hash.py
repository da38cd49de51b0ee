"""PySpark's ``portable_hash`` with the 64-bit hashes of the driver's Python.

The guest's own ``hash()`` has 32 bits. Keys are placed by hash on executors and looked up by hash
on the driver (``RDD.lookup``), so the two must agree.
"""

import datetime
import decimal

from _davy import hash64

_MODULUS = (1 << 61) - 1
_MASK = (1 << 64) - 1
_INFINITY = 314159


def portable_hash(x):
    """As ``pyspark.core.rdd.portable_hash``."""
    if x is None:
        return 0
    if isinstance(x, tuple):
        h = 0x345678
        for i in x:
            h ^= portable_hash(i)
            h *= 1000003
            h &= 0x7FFFFFFFFFFFFFFF
        h ^= len(x)
        return h
    h = hash64(x)
    return _other(x) if h is NotImplemented else h


def _signed(h):
    h = (h & _MASK) - ((h & (1 << 63)) << 1)
    return -2 if h == -1 else h


def _other(x):
    if isinstance(x, int):
        h = abs(int(x)) % _MODULUS
        return _signed(-h if x < 0 else h)
    if isinstance(x, (str, bytes, float)) and type(x).__hash__ in (str.__hash__, bytes.__hash__, float.__hash__):
        for base in (str, bytes, float):
            if isinstance(x, base) and x == x:
                return hash64(base(x))
    if isinstance(x, frozenset):
        return _frozenset(x)
    if isinstance(x, decimal.Decimal):
        return _decimal(x)
    if type(x) is datetime.date or (type(x) is datetime.datetime and x.tzinfo is None):
        if isinstance(x, datetime.datetime):
            x = x.replace(fold=0)
        return hash64(x.__reduce__()[1][0])
    return hash(x)  # what the object itself says


def _decimal(x):
    """Modules/_decimal/libmpdec: the value modulo 2**61 - 1."""
    if x.is_nan():
        return hash(x)
    if x.is_infinite():
        return -_INFINITY if x < 0 else _INFINITY
    sign, digits, exponent = x.as_tuple()
    power = pow(10, exponent, _MODULUS) if exponent >= 0 else pow(pow(10, -1, _MODULUS), -exponent, _MODULUS)
    h = int("".join(map(str, digits)) or "0") * power % _MODULUS
    return _signed(-h if sign else h)


def _frozenset(x):
    """Objects/setobject.c, frozenset_hash: order does not matter."""
    h = 0
    for item in x:
        e = _builtin(item) & _MASK
        h ^= ((e ^ 89869747) ^ (e << 16)) * 3644798167 & _MASK
    h ^= (len(x) + 1) * 1927868237 & _MASK
    h ^= (h >> 11) ^ (h >> 25)
    h = (h * 69069 + 907133923) & _MASK
    return 590923713 if h == _MASK else _signed(h)


def _builtin(x):
    """hash(x) of a 64-bit Python for what a key's set may hold."""
    if isinstance(x, tuple):
        return _tuple(x)
    h = hash64(x)
    return _other(x) if h is NotImplemented else h


def _tuple(x):
    """Objects/tupleobject.c, tuplehash: xxHash."""
    prime1, prime2, prime5 = 11400714785074694791, 14029467366897019727, 2870177450012600261
    acc = prime5
    for item in x:
        acc = (acc + (_builtin(item) & _MASK) * prime2) & _MASK
        acc = ((acc << 31) | (acc >> 33)) & _MASK
        acc = acc * prime1 & _MASK
    acc = (acc + (len(x) ^ (prime5 ^ 3527539))) & _MASK
    return 1546275796 if acc == _MASK else _signed(acc)
