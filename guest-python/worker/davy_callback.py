"""Call-backs to the executor, which stock workers make through local sockets.

The host connects for the guest to a Unix socket of Spark's, or to a port that Spark serves its task at (4.0); the
guest has no socket. What is here looks enough like one for PySpark's own code.
"""

import io
import struct
import types

import _davy

# Verbs of the host's gateway.
_CONNECT, _RECEIVE, _SEND, _DISCONNECT = 3, 4, 5, 6
# Bytes of one transfer: a request holds no more than 64 KiB in all.
_MOST = 60 << 10


class _Stream(io.RawIOBase):
    """The two directions of one connection."""

    def __init__(self, handle):
        self._handle = handle

    def readable(self):
        return True

    def writable(self):
        return True

    def readinto(self, buffer):
        size = min(len(buffer), _MOST)
        data = _davy.gateway(_RECEIVE, self._handle + struct.pack("<I", size), size)
        buffer[: len(data)] = data
        return len(data)

    def write(self, data):
        taken = _davy.gateway(_SEND, self._handle + bytes(memoryview(data).cast("B")[:_MOST]))
        return struct.unpack("<I", taken)[0]

    def close(self):
        if not self.closed:
            super().close()
            _davy.gateway(_DISCONNECT, self._handle)


class Callback:
    """Stands for the sockets that PySpark's worker opens: to a Unix socket of its executor's, or to a port there."""

    def __init__(self, *_family_and_type):
        self._stream = None

    def connect(self, address, what="a streaming query's state"):
        try:
            asked = address if isinstance(address, str) else f":{address[1]}"
            self._stream = _Stream(_davy.gateway(_CONNECT, asked.encode()))
        except PermissionError:
            if isinstance(address, str):
                raise
            raise refused(what) from None

    def makefile(self, _mode, buffering):
        return io.BufferedRWPair(self._stream, self._stream, buffering)

    def setsockopt(self, *_option):
        """The host sets what is useful."""

    def settimeout(self, _seconds):
        """Waits end with the task."""

    def close(self):
        if self._stream is not None:
            self._stream.close()


def refused(what):
    return RuntimeError(
        f"Davy cannot serve {what} here: Spark offers it on a network port, and a sandbox has no "
        "network. What to do: leave spark.python.unix.domain.socket.enabled to Davy, which sets it to true; "
        "or run this job without Davy."
    )


#: Stands for the module `socket` where PySpark's worker uses no more of it.
sockets = types.SimpleNamespace(AF_UNIX=1, SOCK_STREAM=1, IPPROTO_TCP=6, TCP_NODELAY=1, socket=Callback)


def connect(address, buffering, what):
    """The connection to `address` as (file, socket), as ``local_connect_and_auth`` returns it."""
    callback = Callback()
    callback.connect(address, what)
    return callback.makefile("rwb", buffering), callback
