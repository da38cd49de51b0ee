/* `long long` for the packages, where other 64-bit systems say `long`: the errors are those of `long`.

   The packages are compiled with PyLong_AsLongLong and PyLong_AsUnsignedLongLong as names of these
   (recipe/cplusplus.py); CPython's own modules keep theirs. */
#include "davy.h"

long long davy_as_long(PyObject *object) {
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow)
        PyErr_SetString(PyExc_OverflowError, "Python int too large to convert to C long");
    return value;
}

unsigned long long davy_as_unsigned_long(PyObject *object) {
    unsigned long long value = PyLong_AsUnsignedLongLong(object);
    if (value == (unsigned long long)-1 && PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        PyErr_SetString(PyExc_OverflowError, _PyLong_Sign(object) < 0
                                                 ? "can't convert negative value to unsigned int"
                                                 : "Python int too large to convert to C unsigned long");
    }
    return value;
}
