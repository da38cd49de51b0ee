"""The groups of a sandbox's users; see pwd.py."""

import operator
from collections import namedtuple

struct_group = namedtuple("struct_group", "gr_name gr_passwd gr_gid gr_mem")

_GROUPS = [struct_group("root", "x", 0, []), struct_group("davy", "x", 1000, ["davy"])]


def getgrall():
    return list(_GROUPS)


def getgrgid(id):
    id = operator.index(id)
    for group in _GROUPS:
        if group.gr_gid == id:
            return group
    raise KeyError(f"getgrgid(): gid not found: {id}")


def getgrnam(name):
    if not isinstance(name, str):
        raise TypeError(f"getgrnam() argument must be str, not {type(name).__name__}")
    if "\0" in name:
        raise ValueError("embedded null byte")
    for group in _GROUPS:
        if group.gr_name == name:
            return group
    raise KeyError(f"getgrnam(): name not found: {name!r}")
