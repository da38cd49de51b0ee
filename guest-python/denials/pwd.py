"""The one user of a sandbox: enough for os.path.expanduser() and getpass.getuser()."""

from collections import namedtuple

struct_passwd = namedtuple("struct_passwd", "pw_name pw_passwd pw_uid pw_gid pw_gecos pw_dir pw_shell")

_USER = struct_passwd("davy", "x", 1000, 1000, "", "/tmp", "")


def getpwall():
    return [_USER]


def getpwuid(uid):
    if uid == _USER.pw_uid:
        return _USER
    raise KeyError(f"getpwuid(): uid not found: {uid}")


def getpwnam(name):
    if name == _USER.pw_name:
        return _USER
    raise KeyError(f"getpwnam(): name not found: {name!r}")
