/* The local time zone.
 *
 * wasi-libc's local time is UTC: its __tz.o holds these three names with that one answer. Defined
 * here they come first, and its localtime_r, mktime and strftime follow them. Where the zone comes
 * from is Python's matter (worker/davy_zone.py); here it is a table of spans of equal offset. */
#include "davy.h"

#include <string.h>
#include <time.h>

/* The Gregorian calendar repeats after 400 years, days of the week included. */
#define CYCLE 12622780800LL

/* As worker/davy_zone.py packs it: "<qiHH". */
struct span {
    int64_t from;    /* first second, UTC; of the first span: ignored */
    int32_t offset;  /* seconds east of UTC */
    uint16_t isdst;
    uint16_t name;   /* where in `names` its abbreviation begins */
};

const char __utc[] = "UTC";

static const struct span utc_span = {0};
static const char *names = __utc;
static const struct span *spans = &utc_span;
static size_t count = 1;
static int64_t end = INT64_MAX;  /* from here on the last CYCLE seconds before it repeat */

static const struct span *span_at(int64_t t)
{
    if (t >= end)
        t -= ((t - end) / CYCLE + 1) * CYCLE;
    size_t low = 0, high = count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (spans[middle].from <= t)
            low = middle;
        else
            high = middle;
    }
    return spans + low;
}

/* The offset that leads from local time `t` to UTC. An hour that comes twice or never is decided as
 * by glibc's mktime: starting from the offset of the last answer, and in the gap, where two guesses
 * take turns, ending with the one that lies in summer time. */
static int32_t last_offset;

static int32_t offset_of_local(int64_t t)
{
    int64_t guess = t - last_offset, before = guess, first = guess;
    int was_summer = 0;
    for (int tries = 0; tries < 6; tries++) {
        const struct span *span = span_at(guess);
        int64_t next = t - span->offset;
        if (next == guess)
            break;
        if (guess == first && guess != before && was_summer <= span->isdst)
            break;
        first = before;
        before = guess;
        guess = next;
        was_summer = span->isdst;
    }
    last_offset = (int32_t)(t - guess);
    return last_offset;
}

void __secs_to_zone(long long t, int local, int *isdst, int *offset, long *opposite,
                    const char **zone);

void __secs_to_zone(long long t, int local, int *isdst, int *offset, long *opposite,
                    const char **zone)
{
    int32_t known = local ? offset_of_local(t) : 0;
    const struct span *span = span_at(t - known);
    *isdst = span->isdst;
    *offset = local ? known : span->offset;
    *zone = names + span->name;
    if (opposite) {
        /* The nearest span of the other kind, later first; none: this one. */
        size_t at = (size_t)(span - spans), later = at + 1, earlier = at;
        *opposite = span->offset;
        if (later < count && spans[later].isdst != span->isdst)
            *opposite = spans[later].offset;
        else if (earlier > 0 && spans[earlier - 1].isdst != span->isdst)
            *opposite = spans[earlier - 1].offset;
    }
}

const char *__tm_to_tzname(const struct tm *tm);

const char *__tm_to_tzname(const struct tm *tm)
{
    return tm->tm_zone ? tm->tm_zone : "";
}

PyObject *davy_set_zone(PyObject *module, PyObject *args)
{
    Py_buffer table, abbreviations;
    long long until;
    if (!PyArg_ParseTuple(args, "y*y*L:set_zone", &table, &abbreviations, &until))
        return NULL;
    struct span *kept = NULL;
    char *text = NULL;
    if (table.len == 0 || table.len % (Py_ssize_t)sizeof *kept != 0) {
        PyErr_SetString(PyExc_ValueError, "a zone's table holds one span or more");
        goto done;
    }
    kept = PyMem_RawMalloc((size_t)table.len);
    text = PyMem_RawCalloc(1, (size_t)abbreviations.len + 1);
    if (kept == NULL || text == NULL) {
        PyMem_RawFree(kept);
        PyMem_RawFree(text);
        PyErr_NoMemory();
        goto done;
    }
    memcpy(kept, table.buf, (size_t)table.len);
    memcpy(text, abbreviations.buf, (size_t)abbreviations.len);
    size_t n = (size_t)table.len / sizeof *kept;
    for (size_t i = 0; i < n; i++)
        if (kept[i].name > abbreviations.len)
            kept[i].name = 0;
    /* The table before it is never freed: a struct tm may still point to its names. */
    spans = kept;
    names = text;
    count = n;
    end = until;
    last_offset = 0;
done:
    PyBuffer_Release(&table);
    PyBuffer_Release(&abbreviations);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}
