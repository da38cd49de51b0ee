"""The local time zone of the sandbox is the one a stock worker on this host would have.

``TZ`` decides, by name or as a POSIX rule; without it the host's ``/etc/localtime``, which the
session document carries. Names are looked up in the image's tzdata.
"""

import base64
import io
import os
import re
import struct
import time

import _davy
from zoneinfo import _common
from zoneinfo._zoneinfo import _parse_tz_str, _TZStr

_CYCLE_YEARS = 400
_CYCLE_SECONDS = 12622780800
_FOREVER = (1 << 63) - 1
_WORD = re.compile(r"[A-Za-z]{3,}")
_POSIX = re.compile(r"([A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[-+0-9]")
_FOLDERS = ("/usr/share/zoneinfo/", "/usr/lib/zoneinfo/", "/usr/share/lib/zoneinfo/")
_UTC = ([(0, 0, False, "UTC")], _FOREVER)

_host = b""
_current = None


def follow(localtime):
    """Takes the zone of a session; ``localtime`` is the host's own in base64, or None."""
    global _host
    host = base64.b64decode(localtime or "")
    if (host, os.environ.get("TZ")) == _current:
        return
    _host = host
    time.tzset = tzset
    tzset()


def tzset():
    """tzset()

    Initialize, or reinitialize, the local timezone to the value stored in
    os.environ['TZ'].
    """
    global _current
    name = os.environ.get("TZ")
    spans, end = _zone(name)
    names = b""
    packed = []
    for start, offset, isdst, abbreviation in spans:
        text = abbreviation.encode() + b"\0"
        at = names.find(text)
        if at < 0:
            at = len(names)
            names += text
        packed.append(struct.pack("<qiHH", start, offset, isdst, at))
    _davy.set_zone(b"".join(packed), names, end)
    _current = (_host, name)
    _announce()


def _zone(name):
    """Spans (first second, offset, isdst, abbreviation) and the second from which they repeat."""
    if name is None:
        return _from_file(io.BytesIO(_host)) if _host else _UTC
    name = name.removeprefix(":")
    if name == "/etc/localtime":
        return _zone(None)
    for folder in _FOLDERS:
        name = name.removeprefix(folder)
    if name.startswith("/"):
        try:
            with open(name, "rb") as file:
                return _from_file(file)
        except OSError:
            return _UTC
    try:
        with _common.load_tzdata(name) as file:
            return _from_file(file)
    except (OSError, ValueError, ImportError, KeyError):
        pass  # not a name, or of no zone
    return _from_posix(name)


def _from_posix(name):
    """A POSIX rule, read as glibc reads it: before 1970 the changes of 1970 count."""
    if not _POSIX.match(name):
        word = _WORD.match(name)
        return ([(0, 0, False, word[0] if word else "")] if name else _UTC[0]), _FOREVER
    try:
        rule = _parse_tz_str(name)
    except ValueError:
        return _UTC
    spans = []
    if isinstance(rule, _TZStr):
        into, out = rule.transitions(1970)
        first = rule.std if into < out else rule.dst
        spans = [(0, _seconds(first.utcoff), first is rule.dst, first.tzname)]
    return _from_rule(spans, rule)


def _from_file(file):
    """A TZif file (RFC 8536)."""
    try:
        index, starts, offsets, isdst, names, rule = _common.load_data(file)
    except (ValueError, struct.error):
        return _UTC
    kinds = list(zip(offsets, map(bool, isdst), names))
    first = next((i for i, dst in enumerate(isdst) if not dst), 0)
    spans = [(0, *kinds[first])]
    spans += [(start, *kinds[i]) for start, i in zip(starts, index)]
    if not rule:
        return spans, _FOREVER
    return _from_rule(spans, _parse_tz_str(rule.decode() if isinstance(rule, bytes) else rule))


def _from_rule(spans, rule):
    """``spans`` followed by those of a POSIX rule, for one cycle of the calendar."""
    if not isinstance(rule, _TZStr):
        kind = (_seconds(rule.utcoff), False, rule.tzname)
        last = spans[-1] if spans else None
        if last is None or last[1:] != kind:
            spans = [*spans, (last[0] + 1 if last else 0, *kind)]
        return spans, _FOREVER
    standard = (_seconds(rule.std.utcoff), False, rule.std.tzname)
    summer = (_seconds(rule.dst.utcoff), True, rule.dst.tzname)
    began = spans[-1][0]
    year = time.gmtime(began).tm_year
    changes = []
    for y in range(year, year + _CYCLE_YEARS + 2):
        into, out = rule.transitions(y)
        changes.append((into - standard[0], *summer))
        changes.append((out - summer[0], *standard))
    changes.sort()
    spans += [change for change in changes if change[0] > began]
    return spans, spans[-1][0]


def _seconds(offset):
    return offset.days * 86400 + offset.seconds


def _announce():
    """``time.timezone`` and its companions, as CPython's init_timezone computes them."""
    year = (365 * 24 + 6) * 3600
    start = int(time.time()) // year * year
    january, july = time.localtime(start), time.localtime(start + year // 2)
    if january.tm_gmtoff > july.tm_gmtoff:  # summer in the south
        january, july = july, january
    time.timezone, time.altzone = -january.tm_gmtoff, -july.tm_gmtoff
    time.daylight = int(january.tm_gmtoff != july.tm_gmtoff)
    time.tzname = (january.tm_zone[:9], july.tm_zone[:9])
