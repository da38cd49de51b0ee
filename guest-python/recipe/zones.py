"""The time zones that stand where Linux has them: Arrow reads them, and so does dateutil.

The package tzdata ends each zone with a rule and leaves the block of 32-bit times empty ("slim" files). Arrow's
reader knows transitions, not the rule; dateutil's knows the 32-bit block only. Here the rule's transitions up to
2037 are written out in both blocks, as in the files of Linux distributions ("fat" files).  Format: RFC 8536.
"""
import io
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

_END = datetime(2038, 1, 1, tzinfo=timezone.utc)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_HEADER = ">4sc15x6l"


def write_zones(source: Path, target: Path) -> None:
    """Copy the zones of the folder `source`, each with its rule written out."""
    for path in sorted(source.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if data.startswith(b"TZif"):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(write_out(data))


def write_out(slim: bytes) -> bytes:
    """The zone with its rule, if it has one, written out."""
    _, start = _block(slim, 0, 4)
    parts, end = _block(slim, start, 8)
    times = list(struct.unpack(f">{len(parts['times']) // 8}q", parts["times"]))
    kinds = list(parts["kinds"])
    if b"," in slim[end:]:  # elsewhere there is no rule, or one without summer time
        zone = ZoneInfo.from_file(io.BytesIO(slim))
        for when in _transitions(zone, _EPOCH + timedelta(seconds=times[-1]) if times else _EPOCH):
            times.append(int((when - _EPOCH).total_seconds()))
            kinds.append(_kind(parts, kinds, when.astimezone(zone)))
    return _packed("l", parts, *_short(times, kinds)) + _packed("q", parts, times, kinds) + slim[end:]


def _short(times: list[int], kinds: list[int]) -> tuple[list[int], list[int]]:
    """The transitions whose times have 32 bits; what holds at the first such second counts as one of them."""
    first, last = -(2**31), 2**31 - 1
    early, end = sum(when < first for when in times), sum(when <= last for when in times)
    if early and first not in times:
        return [first, *times[early:end]], kinds[early - 1:end]
    return times[early:end], kinds[early:end]


def _packed(code: str, parts: dict[str, bytes], times: list[int], kinds: list[int]) -> bytes:
    header = struct.pack(_HEADER, b"TZif", b"2", 0, 0, 0, len(times), len(parts["types"]) // 6, len(parts["names"]))
    return header + struct.pack(f">{len(times)}{code}", *times) + bytes(kinds) + parts["types"] + parts["names"]


def _transitions(zone: ZoneInfo, after: datetime):
    """The moments, in UTC, at which the zone's offset or name changes; a rule's are weeks apart."""
    def state(moment):
        local = moment.astimezone(zone)
        return local.utcoffset(), local.tzname()

    week = timedelta(days=7)
    before = after
    while before < _END:
        behind = before + week
        if state(behind) != state(before):
            low, high = before, behind
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // timedelta(seconds=2) * timedelta(seconds=1)
                low, high = (low, middle) if state(middle) != state(before) else (middle, high)
            yield high
        before = behind


def _block(data: bytes, at: int, size: int) -> tuple[dict[str, bytes], int]:
    """The parts of one block, whose times have `size` bytes each; and where it ends."""
    magic, _, utc, standard, leaps, times, types, names = struct.unpack_from(_HEADER, data, at)
    if magic != b"TZif" or leaps:
        raise ValueError("not a zone without leap seconds")
    at += struct.calcsize(_HEADER)
    parts = {}
    for part, length in (("times", times * size), ("kinds", times), ("types", types * 6), ("names", names),
                         ("standard", standard), ("utc", utc)):
        parts[part] = data[at:at + length]
        at += length
    return parts, at


def _kind(parts: dict[str, bytes], kinds: list[int], local: datetime) -> int:
    """The number of the local time type that holds at `local`: of several, the one used last; perhaps a new one."""
    types = list(struct.iter_unpack(">lBB", parts["types"]))
    offset, name = int(local.utcoffset().total_seconds()), local.tzname().encode() + b"\0"
    for kind in [*reversed(kinds), *range(len(types))]:
        seconds, _, at = types[kind]
        if seconds == offset and parts["names"].startswith(name, at):
            return kind
    if name not in parts["names"]:
        parts["names"] += name
    parts["types"] += struct.pack(">lBB", offset, bool(local.dst()), parts["names"].index(name))
    return len(types)
