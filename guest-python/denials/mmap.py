"""mmap's names; files cannot be mapped into a sandbox's memory."""

from davy_denials import denied as _denied

ACCESS_DEFAULT, ACCESS_READ, ACCESS_WRITE, ACCESS_COPY = 0, 1, 2, 3
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
MAP_SHARED, MAP_PRIVATE, MAP_ANON, MAP_ANONYMOUS = 1, 2, 32, 32
PAGESIZE = ALLOCATIONGRANULARITY = 65536
error = OSError


class mmap:
    def __init__(self, *args, **kwargs):
        raise _denied("mapping files into memory", "mmap.mmap()", "read the file, or use a bytearray.")
