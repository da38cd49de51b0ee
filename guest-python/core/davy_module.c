/* The built-in module _davy: the host's imports as Python functions.
 *
 * There is one thread and nobody else needs the GIL, so it is never released around a
 * host call: that would cost more than it gives.
 */
#include "davy.h"

#include <errno.h>
#include <string.h>

PyDoc_STRVAR(channel_read_into_doc,
"channel_read_into(buffer) -> int\n\n"
"Read into a writable buffer, blocking until one byte or more has come. 0 is the end.");

static PyObject *
channel_read_into(PyObject *module, PyObject *target)
{
    Py_buffer view;
    if (PyObject_GetBuffer(target, &view, PyBUF_WRITABLE) < 0)
        return NULL;
    int32_t got = 0;
    if (view.len > 0)  /* a read of no bytes would look like the end of the input */
        got = davy_channel_read(view.buf, (int32_t)Py_MIN(view.len, INT32_MAX));
    PyBuffer_Release(&view);
    if (got < 0) {
        PyErr_SetString(PyExc_OSError, "the host's channel failed while it was read");
        return NULL;
    }
    return PyLong_FromLong(got);
}

PyDoc_STRVAR(channel_write_doc,
"channel_write(buffer) -> int\n\n"
"Write from a buffer, blocking until one byte or more is taken; returns how many were.");

static PyObject *
channel_write(PyObject *module, PyObject *source)
{
    Py_buffer view;
    if (PyObject_GetBuffer(source, &view, PyBUF_SIMPLE) < 0)
        return NULL;
    int32_t taken = 0;
    if (view.len > 0)
        taken = davy_channel_write(view.buf, (int32_t)Py_MIN(view.len, INT32_MAX));
    PyBuffer_Release(&view);
    if (taken < 0) {
        errno = EPIPE;  /* OSError picks BrokenPipeError for it */
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyLong_FromLong(taken);
}

PyDoc_STRVAR(session_doc, "session() -> bytes\n\nThe session document (JSON).");

static PyObject *
session(PyObject *module, PyObject *unused)
{
    int32_t len = davy_session_read(NULL, 0);
    for (;;) {
        PyObject *bytes = PyBytes_FromStringAndSize(NULL, Py_MAX(len, 0));
        if (bytes == NULL)
            return NULL;
        int32_t full = davy_session_read((uint8_t *)PyBytes_AS_STRING(bytes), Py_MAX(len, 0));
        if (full == len)
            return bytes;
        Py_DECREF(bytes);
        if (full < 0) {
            PyErr_SetString(PyExc_OSError, "the host has no session document");
            return NULL;
        }
        len = full;
    }
}

PyDoc_STRVAR(gateway_doc,
"gateway(verb, request, size=512) -> bytes\n\n"
"One control request; OSError with the host's errno when it fails. A response of more than\n"
"`size` bytes is asked for a second time.");

static PyObject *
gateway(PyObject *module, PyObject *args)
{
    int verb;
    int cap = 512;  /* most answers fit, and asking twice costs a host call */
    Py_buffer request;
    if (!PyArg_ParseTuple(args, "iy*|i:gateway", &verb, &request, &cap))
        return NULL;
    cap = Py_MAX(cap, 0);
    if (request.len > INT32_MAX) {
        PyBuffer_Release(&request);
        PyErr_SetString(PyExc_ValueError, "the gateway's request is too long");
        return NULL;
    }
    PyObject *response = NULL;
    for (;;) {
        response = PyBytes_FromStringAndSize(NULL, cap);
        if (response == NULL)
            break;
        int32_t len = davy_gateway(verb, request.buf, (int32_t)request.len,
                                   (uint8_t *)PyBytes_AS_STRING(response), cap);
        if (len < 0) {
            Py_CLEAR(response);
            errno = -len;  /* wasi-libc's errno values are WASI's */
            PyErr_SetFromErrno(PyExc_OSError);
            break;
        }
        if (len <= cap) {
            _PyBytes_Resize(&response, len);
            break;
        }
        Py_DECREF(response);
        cap = len;
    }
    PyBuffer_Release(&request);
    return response;
}

PyDoc_STRVAR(reset_preopens_doc,
"reset_preopens()\n\n"
"Forget the folders granted so far; the next use of a path asks the host anew. Needed\n"
"when a snapshot is started with other grants than it was taken with.");

static PyObject *
reset_preopens(PyObject *module, PyObject *unused)
{
    __wasilibc_reset_preopens();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"channel_read_into", channel_read_into, METH_O, channel_read_into_doc},
    {"channel_write", channel_write, METH_O, channel_write_doc},
    {"session", session, METH_NOARGS, session_doc},
    {"gateway", gateway, METH_VARARGS, gateway_doc},
    {"reset_preopens", reset_preopens, METH_NOARGS, reset_preopens_doc},
    {"hash64", davy_hash64, METH_O,
     "hash64(object) -> the hash a 64-bit CPython computes, or NotImplemented"},
    {"set_zone", davy_set_zone, METH_VARARGS,
     "set_zone(spans, names, end): the local time zone, as davy_zone packs it"},
    {"text_into", davy_text_into, METH_VARARGS, davy_text_into_doc},
    {"buffers", davy_buffers, METH_VARARGS, davy_buffers_doc},
    {"first", davy_first, METH_VARARGS, davy_first_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_davy",
    .m_doc = "The host's imports: the channel, the session document, the gateway.",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit__davy(void)
{
    return PyModuleDef_Init(&definition);
}
