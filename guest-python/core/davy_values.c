/* Arrow columns to Python objects and back, in bulk.
 *
 * pyarrow makes and reads one object at a time through machinery that serves every type. Text
 * and numbers whose Python values are exactly of the type wanted need none of it; whatever else
 * comes along is left to pyarrow, and so is every error: the functions here give up and say None.
 */
#include "davy.h"

#include <math.h>
#include <string.h>

static int
is_ascii(const uint8_t *text, Py_ssize_t len)
{
    uint64_t seen = 0;
    Py_ssize_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, text + i, 8);
        seen |= word;
    }
    for (; i < len; i++)
        seen |= text[i];
    return (seen & 0x8080808080808080u) == 0;
}

static PyObject *
text_of(const uint8_t *text, Py_ssize_t len)
{
    /* Python has each string of no or one character once. */
    if (len < 2 || !is_ascii(text, len))
        return PyUnicode_DecodeUTF8((const char *)text, len, NULL);
    PyObject *made = PyUnicode_New(len, 127);
    if (made != NULL)
        memcpy(PyUnicode_1BYTE_DATA(made), text, len);
    return made;
}

static int
is_valid(const uint8_t *validity, Py_ssize_t at)
{
    return validity == NULL || (validity[at >> 3] >> (at & 7) & 1);
}

const char davy_text_into_doc[] = PyDoc_STR(
"text_into(target, validity, offsets, data, first)\n\n"
"Fill a list or an array of objects with the strings of a column, from its row `first` on.\n"
"The buffers are Arrow's: bits or None, int32, UTF-8.");

/* Where the objects are: of a list, or of an array of objects. */
static PyObject **
slots_of(PyObject *values, Py_buffer *view, int flags, Py_ssize_t *n)
{
    view->obj = NULL;
    if (PyList_CheckExact(values)) {
        *n = PyList_GET_SIZE(values);
        return ((PyListObject *)values)->ob_item;
    }
    if (PyObject_GetBuffer(values, view, flags | PyBUF_ND | PyBUF_FORMAT) < 0)
        return NULL;
    if (view->ndim != 1 || strcmp(view->format, "O") != 0) {
        PyBuffer_Release(view);
        PyErr_SetString(PyExc_TypeError, "a list or an array of objects is wanted");
        return NULL;
    }
    *n = view->shape[0];
    return view->buf;
}

PyObject *
davy_text_into(PyObject *module, PyObject *args)
{
    PyObject *target;
    Py_buffer validity, offsets, data, view;
    Py_ssize_t first, n;
    if (!PyArg_ParseTuple(args, "Oz*y*y*n:text_into", &target, &validity, &offsets, &data, &first))
        return NULL;
    PyObject *done = NULL;
    PyObject **slots = slots_of(target, &view, PyBUF_WRITABLE, &n);
    if (slots == NULL && (PyErr_Occurred() || n > 0))
        goto out;
    Py_ssize_t end = first + n;
    if (first < 0 || offsets.len / 4 < end + 1 || (validity.buf && validity.len < (end + 7) / 8)) {
        PyErr_SetString(PyExc_ValueError, "the column has fewer rows");
        goto release;
    }
    const int32_t *at = (const int32_t *)offsets.buf + first;
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *value = Py_None;
        if (is_valid(validity.buf, first + i)) {
            if (at[i] < 0 || at[i + 1] < at[i] || at[i + 1] > data.len) {
                PyErr_SetString(PyExc_ValueError, "an offset outside of the column's bytes");
                goto release;
            }
            value = text_of((const uint8_t *)data.buf + at[i], at[i + 1] - at[i]);
            if (value == NULL)
                goto release;
        }
        else
            Py_INCREF(value);
        Py_XSETREF(slots[i], value);
    }
    done = Py_NewRef(Py_None);
release:
    PyBuffer_Release(&view);
out:
    PyBuffer_Release(&validity);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&data);
    return done;
}

/* One column being made of objects. */
struct column {
    PyObject *validity, *offsets, *data;
    Py_ssize_t n, nulls, end;
};

static int
set_null(struct column *column, Py_ssize_t at)
{
    if (column->validity == NULL) {
        Py_ssize_t size = (column->n + 7) / 8;
        column->validity = PyBytes_FromStringAndSize(NULL, size);
        if (column->validity == NULL)
            return -1;
        memset(PyBytes_AS_STRING(column->validity), 0xff, size);
    }
    PyBytes_AS_STRING(column->validity)[at >> 3] &= (char)~(1 << (at & 7));
    column->nulls++;
    return 0;
}

/* 1 if it was put, 0 if it is another thing than the column's own. */
static int
put_number(char kind, char *data, Py_ssize_t at, PyObject *value)
{
    if (kind == 'd' || kind == 'f') {
        if (!PyFloat_CheckExact(value))
            return 0;
        double real = PyFloat_AS_DOUBLE(value);
        if (kind == 'd')
            ((double *)data)[at] = real;
        else
            ((float *)data)[at] = (float)real;
        return 1;
    }
    if (!PyLong_CheckExact(value))
        return 0;
    int overflow;
    long long whole = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow)
        return 0;
    switch (kind) {
    case 'b': ((int8_t *)data)[at] = (int8_t)whole; return whole == (int8_t)whole;
    case 'h': ((int16_t *)data)[at] = (int16_t)whole; return whole == (int16_t)whole;
    case 'i': ((int32_t *)data)[at] = (int32_t)whole; return whole == (int32_t)whole;
    default: ((int64_t *)data)[at] = whole; return 1;
    }
}

static int
width_of(char kind)
{
    switch (kind) {
    case 'b': return 1;
    case 'h': return 2;
    case 'i': case 'f': return 4;
    case 'q': case 'd': return 8;
    default: return 0;
    }
}

/* This and the next: 1 if all were put, 0 if one is another thing, -1 with an exception. */
static int
numbers(struct column *column, char kind, PyObject **slots)
{
    column->data = PyBytes_FromStringAndSize(NULL, column->n * width_of(kind));
    if (column->data == NULL)
        return -1;
    char *data = PyBytes_AS_STRING(column->data);
    for (Py_ssize_t i = 0; i < column->n; i++) {
        if (slots[i] == Py_None) {
            if (set_null(column, i) < 0)
                return -1;
        }
        else if (!put_number(kind, data, i, slots[i]))
            return 0;
    }
    return 1;
}

/* Two passes: the bytes are counted before they are copied. */
static int
texts(struct column *column, PyObject **slots, int nan_is_null)
{
    column->offsets = PyBytes_FromStringAndSize(NULL, 4 * (column->n + 1));
    if (column->offsets == NULL)
        return -1;
    int32_t *offsets = (int32_t *)PyBytes_AS_STRING(column->offsets);
    int64_t end = offsets[0] = 0;
    for (Py_ssize_t i = 0; i < column->n; i++) {
        PyObject *value = slots[i];
        Py_ssize_t len = 0;
        if (PyUnicode_CheckExact(value) && PyUnicode_IS_COMPACT_ASCII(value))
            len = PyUnicode_GET_LENGTH(value);
        else if (PyUnicode_CheckExact(value)) {
            if (PyUnicode_AsUTF8AndSize(value, &len) == NULL) {
                PyErr_Clear();
                return 0;
            }
        }
        else if (value == Py_None || (nan_is_null && PyFloat_Check(value) && isnan(PyFloat_AS_DOUBLE(value)))) {
            if (set_null(column, i) < 0)
                return -1;
        }
        else
            return 0;
        end += len;
        if (end > INT32_MAX)
            return 0;
        offsets[i + 1] = (int32_t)end;
    }
    column->data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)end);
    if (column->data == NULL)
        return -1;
    char *data = PyBytes_AS_STRING(column->data);
    for (Py_ssize_t i = 0; i < column->n; i++) {
        Py_ssize_t len = offsets[i + 1] - offsets[i];
        if (len > 0) {
            const char *text = PyUnicode_IS_COMPACT_ASCII(slots[i])
                ? (const char *)PyUnicode_1BYTE_DATA(slots[i]) : PyUnicode_AsUTF8(slots[i]);
            memcpy(data + offsets[i], text, len);
        }
    }
    return 1;
}

/* (nulls, buffers) as pyarrow's from_buffers takes them; Py_None where this gives up. */
static PyObject *
buffers_of(PyObject *values, char kind, int nan_is_null)
{
    Py_buffer view;
    struct column column = {0};
    PyObject **slots = slots_of(values, &view, 0, &column.n);
    if (slots == NULL && PyErr_Occurred())
        return NULL;
    PyObject *made = NULL;
    int done = kind == 'U' ? texts(&column, slots, nan_is_null)
        : width_of(kind) ? numbers(&column, kind, slots) : 0;
    if (done > 0) {
        PyObject *validity = column.validity ? column.validity : Py_None;
        made = kind == 'U'
            ? Py_BuildValue("n(OOO)", column.nulls, validity, column.offsets, column.data)
            : Py_BuildValue("n(OO)", column.nulls, validity, column.data);
    }
    else if (done == 0)
        made = Py_NewRef(Py_None);
    PyBuffer_Release(&view);
    Py_XDECREF(column.validity);
    Py_XDECREF(column.offsets);
    Py_XDECREF(column.data);
    return made;
}

const char davy_buffers_doc[] = PyDoc_STR(
"buffers(values, kind, nan_is_null) -> (nulls, buffers) or None\n\n"
"Arrow's buffers of the objects in a list or an array: text for the kind U, numbers for the\n"
"struct module's b h i q f d. None if one is neither None nor exactly a str, int or float that fits;\n"
"among text, a NaN can stand for None.");

PyObject *
davy_buffers(PyObject *module, PyObject *args)
{
    PyObject *values;
    int kind, nan_is_null;
    if (!PyArg_ParseTuple(args, "OCp:buffers", &values, &kind, &nan_is_null))
        return NULL;
    return buffers_of(values, (char)kind, nan_is_null);
}

/* Not written in Python, because then errors of `original` would show a frame more than they do elsewhere. */
static PyObject *
first(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names)
{
    PyObject *found = PyObject_Vectorcall(PyTuple_GET_ITEM(self, 0), args, n, names);
    if (found != Py_NotImplemented)
        return found;
    Py_DECREF(found);
    return PyObject_Vectorcall(PyTuple_GET_ITEM(self, 1), args, n, names);
}

static PyMethodDef first_method = {
    "first", (PyCFunction)(void (*)(void))first, METH_FASTCALL | METH_KEYWORDS,
    "What the first of two functions answers, or the second where that is NotImplemented.",
};

const char davy_first_doc[] = PyDoc_STR(
"first(fast, original, method=False)\n\n"
"A function, or method of a class, that answers what `fast` does, or `original` where that says NotImplemented.");

PyObject *
davy_first(PyObject *module, PyObject *args)
{
    PyObject *fast, *original;
    int method = 0;
    if (!PyArg_ParseTuple(args, "OO|p:first", &fast, &original, &method))
        return NULL;
    PyObject *function = PyCFunction_New(&first_method, args);
    if (function == NULL || !method)
        return function;
    PyObject *bound = PyInstanceMethod_New(function);
    Py_DECREF(function);
    return bound;
}
