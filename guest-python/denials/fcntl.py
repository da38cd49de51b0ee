"""fcntl's names; a sandbox's files cannot be locked or controlled."""

from davy_denials import denying as _denying

F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW = 0, 1, 2, 3, 4, 5, 6, 7
F_RDLCK, F_WRLCK, F_UNLCK, FD_CLOEXEC, F_DUPFD_CLOEXEC = 0, 1, 2, 1, 1030
LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = 1, 2, 4, 8

for _name in ("fcntl", "ioctl", "flock", "lockf"):
    globals()[_name] = _denying("control of open files", f"fcntl.{_name}",
                                "nobody else opens this sandbox's files: leave the lock out.")
