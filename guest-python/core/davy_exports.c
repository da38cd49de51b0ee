/* What the host calls: davy_abi, davy_prepare, davy_boot, davy_serve.
 *
 * davy_prepare runs when the image is built, and its memory is kept in the image;
 * davy_boot runs once before a worker's snapshot is taken; davy_serve runs once in every
 * sandbox started from it.  None lets a Python error become a trap: a trap means that the
 * guest broke, not the script.
 */
#include "davy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOME L"/usr/local"
#define LIB HOME L"/lib/python" PY_MINOR

static int
fail(PyStatus status)
{
    fprintf(stderr, "davy_prepare: Python does not start: %s: %s\n", status.func ? status.func : "?",
            status.err_msg ? status.err_msg : "?");
    return 1;
}

/* The isolated configuration reads no environment, so the seed is ours to set: the host
   grants PYTHONHASHSEED when the driver fixed it, as Spark does for its own workers. */
static void
set_hash_seed(PyConfig *config)
{
    const char *text = getenv("PYTHONHASHSEED");
    char *end = NULL;
    unsigned long seed = text ? strtoul(text, &end, 10) : 0;
    if (text && *text && *end == '\0') {
        config->use_hash_seed = 1;
        config->hash_seed = seed;
    } else {
        config->use_hash_seed = 0;
    }
}

/* UTF-8 mode: WASI has the C locale only, in which Python would take ASCII for file names
   and for open(); stock workers run in a UTF-8 locale. */
static PyStatus
preconfigure(void)
{
    PyPreConfig config;
    PyPreConfig_InitIsolatedConfig(&config);
    config.utf8_mode = 1;
    return Py_PreInitialize(&config);
}

static PyStatus
configure(PyConfig *config)
{
    /* The denials lie in front of the standard library: they stand in for modules that
       cannot exist here, under their usual names. */
    static const wchar_t *const search[] = {
        HOME L"/lib/davy", HOME L"/lib/davy/denials", LIB, LIB L"/site-packages",
    };
    PyConfig_InitIsolatedConfig(config);
    config->site_import = 0;
    config->install_signal_handlers = 0;
    config->write_bytecode = 0;
    config->pathconfig_warnings = 0;
    config->faulthandler = 0;
    config->buffered_stdio = 1;
    set_hash_seed(config);
    PyStatus status = PyConfig_SetString(config, &config->home, HOME);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetString(config, &config->executable, HOME L"/bin/python");
    if (!PyStatus_Exception(status))
        status = PyConfig_SetString(config, &config->stdio_encoding, L"utf-8");
    if (!PyStatus_Exception(status))
        status = PyConfig_SetString(config, &config->stdio_errors, L"backslashreplace");
    config->module_search_paths_set = 1;
    for (size_t i = 0; i < sizeof search / sizeof *search && !PyStatus_Exception(status); i++)
        status = PyWideStringList_Append(&config->module_search_paths, search[i]);
    return status;
}

/* sys.stdout and sys.stderr are line buffered as on a terminal, so that what a script
   printed before a limit stopped it is not lost. */
static int
line_buffer(const char *name)
{
    PyObject *stream = PySys_GetObject(name);
    if (stream == NULL || stream == Py_None)
        return 0;
    PyObject *method = PyObject_GetAttrString(stream, "reconfigure");
    PyObject *empty = PyTuple_New(0);
    PyObject *options = Py_BuildValue("{s:O}", "line_buffering", Py_True);
    PyObject *done = method && empty && options ? PyObject_Call(method, empty, options) : NULL;
    Py_XDECREF(method);
    Py_XDECREF(empty);
    Py_XDECREF(options);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Calls MODULE.FUNCTION(); NULL with an exception set when that fails. */
static PyObject *
call(const char *module_name, const char *function)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *result = module ? PyObject_CallMethod(module, function, NULL) : NULL;
    Py_XDECREF(module);
    return result;
}

/* Never fails: a script may have replaced the streams by anything. */
static void
flush_streams(void)
{
    static const char *const names[] = {"stdout", "stderr"};
    for (int i = 0; i < 2; i++) {
        PyObject *stream = PySys_GetObject(names[i]);
        if (stream && stream != Py_None) {
            PyObject *done = PyObject_CallMethod(stream, "flush", NULL);
            Py_XDECREF(done);
            PyErr_Clear();
        }
    }
    fflush(stdout);
    fflush(stderr);
}

/* The exit code of the pending exception: SystemExit's own, else 1 after its traceback. */
static int
exit_code_of_error(void)
{
    int code = 1;
    if (PyErr_ExceptionMatches(PyExc_SystemExit)) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        PyObject *given = value ? PyObject_GetAttrString(value, "code") : NULL;
        if (given && PyLong_Check(given))
            code = (int)PyLong_AsLong(given);
        else if (given == Py_None)
            code = 0;
        else if (given) {
            PyObject_Print(given, stderr, Py_PRINT_RAW);
            fputc('\n', stderr);
        }
        Py_XDECREF(given);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        PyErr_Clear();
    } else {
        PyErr_PrintEx(0);
    }
    return code;
}

DAVY_EXPORT(davy_abi) int32_t
davy_abi(void)
{
    return DAVY_ABI;
}

/* The exit code of a part of the start that ended with `done`. */
static int32_t
started(PyObject *done)
{
    int32_t code = done ? 0 : exit_code_of_error();
    if (!done && code == 0)
        code = 1;  /* SystemExit(0) is still a start that did not finish */
    Py_XDECREF(done);
    flush_streams();
    return code;
}

/* Python without a session.  The host reads no more than the environment into it. */
DAVY_EXPORT(davy_prepare) int32_t
davy_prepare(void)
{
    if (PyImport_AppendInittab("_davy", PyInit__davy) < 0)
        return 1;
    PyStatus status = preconfigure();
    if (PyStatus_Exception(status))
        return fail(status);
    PyConfig config;
    status = configure(&config);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (PyStatus_Exception(status))
        return fail(status);
    PyObject *done = NULL;
    if (line_buffer("stdout") == 0 && line_buffer("stderr") == 0) {
        done = call("davy_denials", "install");
        if (done) {
            Py_DECREF(done);
            done = call("davy_worker", "prepare");
        }
    }
    return started(done);
}

DAVY_EXPORT(davy_boot) int32_t
davy_boot(void)
{
    if (!Py_IsInitialized()) {
        int32_t code = davy_prepare();
        if (code)
            return code;
    }
    __wasilibc_reset_preopens();  /* they are those of the guest that was prepared */
    return started(call("davy_worker", "boot"));
}

DAVY_EXPORT(davy_serve) int32_t
davy_serve(void)
{
    PyObject *result = call("davy_worker", "serve");
    int32_t code;
    if (result == NULL)
        code = exit_code_of_error();
    else if (PyLong_Check(result))
        code = (int32_t)PyLong_AsLong(result);
    else
        code = 0;
    Py_XDECREF(result);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        code = 1;
    }
    flush_streams();
    return code;
}
