"""Stands in for the C module below socket.py: names and constants, no network."""

import struct as _struct

from davy_denials import denied as _denied

error = OSError
timeout = TimeoutError
has_ipv6 = True


class herror(OSError):
    pass


class gaierror(OSError):
    pass


# Linux's numbers, so that pickled or logged constants mean the same as on the driver.
AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6 = 0, 1, 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_NONBLOCK, SOCK_CLOEXEC = 1, 2, 3, 0o4000, 0o2000000
SOL_SOCKET, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF = 1, 2, 3, 4, 6, 7, 8
SO_KEEPALIVE, SO_LINGER, SO_REUSEPORT = 9, 13, 15
SOL_IP, SOL_TCP, SOL_UDP, IPPROTO_IP, IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6 = 0, 6, 17, 0, 1, 6, 17, 41
IPV6_V6ONLY, TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, SOMAXCONN = 26, 1, 4, 5, 6, 4096
MSG_OOB, MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_NOSIGNAL = 1, 2, 64, 256, 16384
SHUT_RD, SHUT_WR, SHUT_RDWR = 0, 1, 2
AI_PASSIVE, AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV, AI_ADDRCONFIG = 1, 2, 4, 1024, 32
NI_NUMERICHOST, NI_NUMERICSERV, NI_NOFQDN, NI_NAMEREQD, NI_DGRAM = 1, 2, 4, 8, 16
EAI_AGAIN, EAI_FAIL, EAI_FAMILY, EAI_NONAME, EAI_SERVICE, EAI_SOCKTYPE = -3, -4, -6, -2, -8, -7
INADDR_ANY, INADDR_LOOPBACK, INADDR_BROADCAST, INADDR_NONE = 0, 0x7F000001, 0xFFFFFFFF, 0xFFFFFFFF


def _deny(name):
    return _denied("network access", f"socket.{name}()",
                   "bring the data in as a Spark source or a broadcast, or run this job without Davy.")


class socket:
    __slots__ = ()  # socket.socket adds __weakref__ itself

    """No socket exists in a sandbox; the class does, for subclasses and isinstance()."""

    __slots__ = ()  # socket.py derives a class with slots of its own

    def __init__(self, *args, **kwargs):
        raise _deny("socket")


SocketType = socket


def _denying(name):
    def deny(*args, **kwargs):
        raise _deny(name)

    deny.__name__ = deny.__qualname__ = name
    return deny


for _name in ("close dup getaddrinfo gethostbyaddr gethostbyname gethostbyname_ex getnameinfo getprotobyname "
              "getservbyname getservbyport if_indextoname if_nameindex if_nametoindex sethostname socketpair").split():
    globals()[_name] = _denying(_name)

_default_timeout = None


def gethostname():
    return "davy"


def getdefaulttimeout():
    return _default_timeout


def setdefaulttimeout(timeout):
    global _default_timeout
    _default_timeout = None if timeout is None else float(timeout)


def htons(x):
    return _struct.unpack("<H", _struct.pack(">H", x))[0]


def htonl(x):
    return _struct.unpack("<I", _struct.pack(">I", x))[0]


ntohs, ntohl = htons, htonl


def inet_aton(text):
    parts = text.split(".")
    try:
        if len(parts) == 4:
            return bytes(int(p) for p in parts)
    except ValueError:
        pass
    raise OSError("illegal IP address string passed to inet_aton")


def inet_ntoa(packed):
    if len(packed) != 4:
        raise OSError("packed IP wrong length")
    return ".".join(map(str, packed))


def inet_pton(family, text):
    import ipaddress

    try:
        return (ipaddress.IPv4Address if family == AF_INET else ipaddress.IPv6Address)(text).packed
    except ipaddress.AddressValueError:
        raise OSError("illegal IP address string passed to inet_pton") from None


def inet_ntop(family, packed):
    import ipaddress

    try:
        return str((ipaddress.IPv4Address if family == AF_INET else ipaddress.IPv6Address)(bytes(packed)))
    except ipaddress.AddressValueError:
        raise ValueError("invalid length of packed IP address string") from None
