"""Finds C functions that CPython would call with other parameters than they declare.

    signatures.py LIBRARY.a...        (guest-python/README.md says where the build leaves them)

On native machines an argument too many does no harm, so packages have such functions and nobody
notices. WebAssembly checks each indirect call: the sandbox ends. The tables through which CPython
calls are data: method tables, getters and setters, types. Each entry is a relocation to a
function, whose type stands in the same object file. Formats: tool-conventions/Linking.md.

Not seen: types that are filled in at run time, and calls that are no CPython table's.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

LETTERS = {0x7F: "i", 0x7E: "l", 0x7D: "f", 0x7C: "d", 0x7B: "v"}
FUNCTION, DATA, SECTION = 0, 1, 3
#: Relocations: a function's number in the table, the address of data; those that have an addend.
TABLE_INDEX, ADDRESS = 2, 5
WITH_ADDEND = {3, 4, 5, 8, 9, 11, 14, 15, 16, 17, 21, 22, 23, 25}

ONE, TWO, THREE, FOUR, FIVE = ("i" * n + ">i" for n in range(1, 6))
#: METH_* without METH_CLASS, METH_STATIC, METH_COEXIST → type of the function.
METHODS = {0x1: TWO, 0x3: THREE, 0x4: TWO, 0x8: TWO, 0x80: THREE, 0x82: FOUR, 0x282: FIVE}
#: Offset in a PyTypeObject of 32-bit pointers → type of the function.
TYPE = {
    **dict.fromkeys((24, 160, 188, 196), "i>"),
    **dict.fromkeys((44, 60, 68, 96, 108, 112, 164), ONE),
    **dict.fromkeys((32, 72, 152), TWO),
    **dict.fromkeys((36, 64, 76, 92, 100, 136, 140, 148, 156), THREE),
    200: FOUR,
}
NUMBER = {
    **dict.fromkeys(range(0, 144, 4), TWO),
    **dict.fromkeys((20, 92), THREE),
    **dict.fromkeys((24, 28, 32, 36, 40, 64, 72, 132), ONE),
}
SEQUENCE = {0: ONE, 4: TWO, 8: TWO, 12: TWO, 20: THREE, 28: TWO, 32: TWO, 36: TWO}
MAPPING = {0: ONE, 4: TWO, 8: THREE}
BUFFER = {0: THREE, 4: "ii>"}
#: Tables that are told by their size and a part of their name.
NAMED = [(144, "num", NUMBER), (40, "seq", SEQUENCE), (12, "map", MAPPING), (8, "buf", BUFFER)]


@dataclass
class Reader:
    data: bytes
    at: int = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self, signed: bool = False) -> int:
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result - (1 << shift) if signed and byte & 0x40 else result

    def text(self) -> str:
        size = self.number()
        self.at += size
        return self.data[self.at - size : self.at].decode()


@dataclass
class Object:
    """What is needed of one object file."""

    types: list[str] = field(default_factory=list)
    functions: list[tuple[str, int]] = field(default_factory=list)
    #: Of each segment its place in the section, and its bytes.
    segments: list[tuple[int, bytes]] = field(default_factory=list)
    symbols: list[tuple[int, str, object]] = field(default_factory=list)
    relocations: dict[int, tuple[int, int]] = field(default_factory=dict)

    def signature(self, symbol: int) -> tuple[str, str]:
        _, name, index = self.symbols[symbol]
        imported, type_index = self.functions[index]
        return name or imported, self.types[type_index]


def parse(data: bytes) -> Object:
    found, r, number, data_section = Object(), Reader(data, 8), 0, None
    while r.at < len(data):
        kind, size = r.byte(), r.number()
        end = r.at + size
        if kind == 1:
            for _ in range(r.number()):
                r.byte()
                sides = ["".join(LETTERS.get(r.byte(), "?") for _ in range(r.number())) for _ in range(2)]
                found.types.append(">".join(sides))
        elif kind == 2:
            _imports(r, found)
        elif kind == 3:
            found.functions += [("", r.number()) for _ in range(r.number())]
        elif kind == 11:
            data_section, start = number, r.at
            for _ in range(r.number()):
                flags = r.number()
                if flags == 2:
                    r.number()
                if flags != 1:
                    r.byte(), r.number(signed=True), r.byte()
                length = r.number()
                found.segments.append((r.at - start, data[r.at : r.at + length]))
                r.at += length
        elif kind == 0:
            name = r.text()
            if name == "linking":
                r.number()
                _symbols(r, end, found)
            elif name.startswith("reloc."):
                _relocations(r, found, data_section)
        r.at, number = end, number + 1
    return found


def _imports(r: Reader, found: Object) -> None:
    for _ in range(r.number()):
        r.text()
        name, kind = r.text(), r.byte()
        if kind == 0:
            found.functions.append((name, r.number()))
        elif kind == 3:
            r.byte(), r.byte()
        elif kind == 4:
            r.byte(), r.number()
        else:  # a table or a memory: its limits
            if kind == 1:
                r.byte()
            flags = r.byte()
            r.number()
            if flags & 1:
                r.number()


def _symbols(r: Reader, end: int, found: Object) -> None:
    while r.at < end:
        kind, size = r.byte(), r.number()
        behind = r.at + size
        for _ in range(r.number() if kind == 8 else 0):
            what, flags = r.byte(), r.number()
            undefined, named = flags & 0x10, flags & 0x40
            if what == DATA:
                name = r.text()
                place = None if undefined else (r.number(), r.number(), r.number())
                found.symbols.append((what, name, place))
            else:
                index = r.number()
                name = r.text() if what != SECTION and (named or not undefined) else ""
                found.symbols.append((what, name, index))
        r.at = behind


def _relocations(r: Reader, found: Object, data_section: int | None) -> None:
    section = r.number()
    for _ in range(r.number()):
        kind, at, symbol = r.byte(), r.number(), r.number()
        if kind in WITH_ADDEND:
            r.number(signed=True)
        if section == data_section:
            found.relocations[at] = (kind, symbol)


def expected(name: str, size: int, relocations: dict, word) -> dict[int, tuple[str, str]]:
    """What a data symbol's entries must be: offset → the table it is and the type of its function."""
    functions = [at for at, (kind, _) in relocations.items() if kind == TABLE_INDEX]
    named = relocations.get(12, (0,))[0] == ADDRESS and not any(part in name for part in ("methods", "getset", "API"))
    if size >= 204 and named:
        return {at: ("type", TYPE[at]) for at in functions if at in TYPE}
    for length, part, layout in NAMED:
        if size == length and part in name.lower():
            return {at: (part, layout[at]) for at in functions if at in layout}
    result = {}
    for at in functions:
        if relocations.get(at - 4, (0,))[0] == ADDRESS:
            flags = 0 if at + 4 in relocations else word(at + 4) & ~0x70
            if flags in METHODS:
                result[at] = ("method", METHODS[flags])
            elif not flags and size % 20 == 0 and at % 20 == 4:
                result[at] = ("getter", TWO)
        elif size % 20 == 0 and at % 20 == 8 and relocations.get(at - 8, (0,))[0] == ADDRESS:
            result[at] = ("setter", THREE)
    return result


def wrong(found: Object):
    """A sentence for each entry whose function has another type."""
    for what, name, place in found.symbols:
        if what != DATA or place is None:
            continue
        segment, offset, size = place
        start, content = found.segments[segment]
        base = start + offset
        inside = {at - base: found.relocations[at] for at in range(base, base + size, 4) if at in found.relocations}

        def word(at: int, content=content, offset=offset, size=size) -> int:
            return struct.unpack_from("<i", content, offset + at)[0] if at + 4 <= size else 0

        for at, (table, must) in expected(name, size, inside, word).items():
            function, signature = found.signature(inside[at][1])
            yield signature != must, f"{table} {name}+{at}: {function} is {signature}, called as {must}"


def members(path: Path):
    """The object files of an archive: name and bytes."""
    data, at, long_names = path.read_bytes(), 8, b""
    while at + 60 <= len(data):
        name, size = data[at : at + 16].decode().strip(), int(data[at + 48 : at + 58])
        content = data[at + 60 : at + 60 + size]
        if name == "//":
            long_names = content
        elif content.startswith(b"\0asm"):
            if name[1:].isdigit():
                name = long_names[int(name[1:]) :].split(b"\n")[0].decode()
            yield name.rstrip("/"), content
        at += 60 + size + size % 2


def main() -> int:
    checked = faults = 0
    for path in map(Path, sys.argv[1:]):
        for name, content in members(path):
            for is_wrong, sentence in wrong(parse(content)):
                checked += 1
                if is_wrong:
                    faults += 1
                    print(f"{path.name}: {name}: {sentence}")
    print(f"{checked} entries of tables checked, {faults} are of another type")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
