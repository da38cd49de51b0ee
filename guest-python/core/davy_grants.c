/* A path outside every granted directory is a denial, and says so.
 *
 * wasi-libc answers ENOENT for such a path, as if the file were missing. Python code would then
 * report a missing /etc/passwd. The linker's --wrap puts these functions in the place of the ones
 * by which CPython turns errno and a file name into an exception. */
#include "davy.h"

#include <errno.h>
#include <internal/pycore_linux_errno.h>
#include <wasi/libc-find-relpath.h>

#define SENTENCE \
    "access is not granted to this sandbox (spark.davy.grant.read and spark.davy.grant.write " \
    "name the host directories to grant)"

/* Whether errno says "missing" of an absolute path that no granted directory holds. */
static int outside_grants(PyObject *name)
{
    if (errno != ENOENT || name == NULL)
        return 0;
    const char *path = NULL;
    if (PyUnicode_Check(name))
        path = PyUnicode_AsUTF8(name);
    else if (PyBytes_Check(name))
        path = PyBytes_AS_STRING(name);
    if (path == NULL) {
        PyErr_Clear();
        errno = ENOENT;
        return 0;
    }
    const char *prefix, *relative;
    int outside = path[0] == '/' && __wasilibc_find_abspath(path, &prefix, &relative) == -1;
    errno = ENOENT;
    return outside;
}

static PyObject *deny(PyObject *name)
{
    PyObject *error = PyObject_CallFunction(PyExc_PermissionError, "isO", LINUX_EACCES, SENTENCE, name);
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

PyObject *__real_PyErr_SetFromErrnoWithFilenameObject(PyObject *type, PyObject *name);
PyObject *__wrap_PyErr_SetFromErrnoWithFilenameObject(PyObject *type, PyObject *name);

PyObject *__wrap_PyErr_SetFromErrnoWithFilenameObject(PyObject *type, PyObject *name)
{
    return outside_grants(name) ? deny(name)
                                : __real_PyErr_SetFromErrnoWithFilenameObject(type, name);
}

PyObject *__real_PyErr_SetFromErrnoWithFilenameObjects(PyObject *, PyObject *, PyObject *);
PyObject *__wrap_PyErr_SetFromErrnoWithFilenameObjects(PyObject *, PyObject *, PyObject *);

PyObject *__wrap_PyErr_SetFromErrnoWithFilenameObjects(PyObject *type, PyObject *name,
                                                       PyObject *other)
{
    return outside_grants(name)
               ? deny(name)
               : __real_PyErr_SetFromErrnoWithFilenameObjects(type, name, other);
}
