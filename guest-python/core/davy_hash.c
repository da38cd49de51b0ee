/* Hashes as a 64-bit CPython computes them.
 *
 * wasm32's Py_hash_t has 32 bits, the driver's 64. Spark places keys by hash() on executors and
 * looks them up by hash() on the driver (RDD.lookup), so both must agree. The algorithms are
 * CPython's since 3.11: Python/pyhash.c (siphash13, _Py_HashDouble) and Objects/longobject.c. */
#include "davy.h"

#if PY_VERSION_HEX >= 0x030d0000 /* declares the secret to the interpreter's own code only */
#define Py_BUILD_CORE
#include <internal/pycore_pyhash.h>
#endif
#include <math.h>
#include <string.h>

#define BITS 61
#define MODULUS ((UINT64_C(1) << BITS) - 1)

static inline uint64_t rotate(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1]; v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0]; v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1]; v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2]; v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static int64_t hash_bytes(const uint8_t *data, Py_ssize_t size)
{
    if (size == 0)
        return 0;
    uint64_t k0 = _Py_HashSecret.siphash.k0, k1 = _Py_HashSecret.siphash.k1;
    uint64_t v[4] = {k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                     k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573)};
    uint64_t last = (uint64_t)size << 56, word;
    for (; size >= 8; data += 8, size -= 8) {
        memcpy(&word, data, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    memcpy(&word, data, (size_t)size);
    last |= word;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v); sip_round(v); sip_round(v);
    int64_t hash = (int64_t)((v[0] ^ v[1]) ^ (v[2] ^ v[3]));
    return hash == -1 ? -2 : hash;
}

static int64_t hash_double(double value)
{
    if (isinf(value))
        return value > 0 ? 314159 : -314159;
    int exponent, sign = 1;
    double mantissa = frexp(value, &exponent);
    if (mantissa < 0) {
        sign = -1;
        mantissa = -mantissa;
    }
    uint64_t x = 0;
    while (mantissa != 0) {
        x = ((x << 28) & MODULUS) | x >> (BITS - 28);
        mantissa *= 268435456.0; /* 2**28 */
        exponent -= 28;
        uint64_t y = (uint64_t)mantissa;
        mantissa -= (double)y;
        x += y;
        if (x >= MODULUS)
            x -= MODULUS;
    }
    exponent = exponent >= 0 ? exponent % BITS : BITS - 1 - ((-1 - exponent) % BITS);
    if (exponent != 0)
        x = ((x << exponent) & MODULUS) | x >> (BITS - exponent);
    int64_t hash = (int64_t)x * sign;
    return hash == -1 ? -2 : hash;
}

/* hash64(object) -> int, or NotImplemented for a type it does not know. */
PyObject *davy_hash64(PyObject *module, PyObject *object)
{
    int64_t hash;
    if (PyUnicode_CheckExact(object)) {
        if (PyUnicode_READY(object) < 0)
            return NULL;
        hash = hash_bytes(PyUnicode_DATA(object),
                          PyUnicode_GET_LENGTH(object) * (Py_ssize_t)PyUnicode_KIND(object));
    } else if (PyBytes_CheckExact(object)) {
        hash = hash_bytes((const uint8_t *)PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object));
    } else if (PyLong_CheckExact(object) || PyBool_Check(object)) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
        if (overflow != 0)
            Py_RETURN_NOTIMPLEMENTED;
        uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
        hash = (int64_t)(size % MODULUS);
        hash = value < 0 ? -hash : hash;
        hash = hash == -1 ? -2 : hash;
    } else if (PyFloat_CheckExact(object) && !isnan(PyFloat_AS_DOUBLE(object))) {
        hash = hash_double(PyFloat_AS_DOUBLE(object));
    } else {
        Py_RETURN_NOTIMPLEMENTED;
    }
    return PyLong_FromLongLong(hash);
}
