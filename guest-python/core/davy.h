/* The host's side of the guest: four imports, and the module that offers them to Python. */
#ifndef DAVY_H
#define DAVY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define DAVY_ABI 1

#define DAVY_IMPORT(NAME) __attribute__((import_module("davy"), import_name(#NAME)))
#define DAVY_EXPORT(NAME) __attribute__((export_name(#NAME)))

/* Blocks until at least one byte has come; 0 is the end of the input. */
DAVY_IMPORT(channel_read) int32_t davy_channel_read(uint8_t *ptr, int32_t len);

/* Blocks until at least one byte is taken; returns how many were, -1 when the peer is gone. */
DAVY_IMPORT(channel_write) int32_t davy_channel_write(const uint8_t *ptr, int32_t len);

/* Copies at most `len` bytes of the session document and returns its full length. */
DAVY_IMPORT(session_read) int32_t davy_session_read(uint8_t *ptr, int32_t len);

/* One control request.  Returns the response's length (when that exceeds `cap`, nothing
   was copied and the guest asks again) or a negative WASI errno. */
DAVY_IMPORT(gateway) int32_t davy_gateway(int32_t verb, const uint8_t *req, int32_t req_len,
                                          uint8_t *resp, int32_t cap);

/* wasi-libc: forgets the granted folders; the next use of a path asks the host anew. */
extern void __wasilibc_reset_preopens(void);

/* davy_zone.c */
PyObject *davy_set_zone(PyObject *module, PyObject *args);

/* davy_hash.c */
PyObject *davy_hash64(PyObject *module, PyObject *object);

/* davy_values.c */
PyObject *davy_text_into(PyObject *module, PyObject *args);
PyObject *davy_buffers(PyObject *module, PyObject *args);
PyObject *davy_first(PyObject *module, PyObject *args);
extern const char davy_text_into_doc[], davy_buffers_doc[], davy_first_doc[];

PyMODINIT_FUNC PyInit__davy(void);

#endif
