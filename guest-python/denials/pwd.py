"""The users of a sandbox: its own, and root, to whom WASI's files belong."""

import operator
from collections import namedtuple

struct_passwd = namedtuple("struct_passwd", "pw_name pw_passwd pw_uid pw_gid pw_gecos pw_dir pw_shell")

_USERS = [
    struct_passwd("root", "x", 0, 0, "", "/root", ""),
    struct_passwd("davy", "x", 1000, 1000, "", "/tmp", ""),
]


def getpwall():
    return list(_USERS)


def getpwuid(uid):
    uid = operator.index(uid)
    for user in _USERS:
        if user.pw_uid == uid:
            return user
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def getpwnam(name):
    if not isinstance(name, str):
        raise TypeError(f"getpwnam() argument must be str, not {type(name).__name__}")
    if "\0" in name:
        raise ValueError("embedded null byte")
    for user in _USERS:
        if user.pw_name == name:
            return user
    raise KeyError(f"getpwnam(): name not found: {name!r}")
