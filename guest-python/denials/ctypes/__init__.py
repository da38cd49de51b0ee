"""ctypes without foreign code: scalar types and their sizes; everything that calls out denies.

The sizes are those of 64-bit Linux, where the driver runs, and not the guest's own
(where a C long has 4 bytes): PySpark derives the types of array columns from them, and
a job must give the same result with and without Davy.  The `array` module is the
guest's: array.array('l').itemsize is 4 here and 8 on the driver.
"""

import struct as _struct

from davy_denials import denied as _denied

__version__ = "1.1.0"
RTLD_LOCAL, RTLD_GLOBAL, DEFAULT_MODE = 0, 256, 0


def _deny(name):
    return _denied("calling foreign code", f"ctypes.{name}()",
                   "use Python code instead, or run this job without Davy.")


class ArgumentError(Exception):
    pass


class _SimpleCData:
    """A scalar: `_size` bytes, `_cast` brings a value into its range."""

    _size = 8
    _zero = 0

    def __init__(self, value=None):
        self.value = self._zero if value is None else value

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, value):
        self._value = self._cast(value)

    @classmethod
    def _cast(cls, value):
        return value

    def __bool__(self):
        return bool(self._value)

    def __repr__(self):
        return f"{type(self).__name__}({self._value!r})"

    def __class_getitem__(cls, item):
        return cls

    @classmethod
    def from_param(cls, value):
        raise _deny(f"{cls.__name__}.from_param")


def _integer(name, size, signed):
    bits = size * 8

    def cast(cls, value):
        if not isinstance(value, int):
            raise TypeError(f"an integer is required (got type {type(value).__name__})")
        value &= (1 << bits) - 1
        return value - (1 << bits) if signed and value >> (bits - 1) else value

    return type(name, (_SimpleCData,), {"_size": size, "_cast": classmethod(cast), "__module__": "ctypes"})


for _name, _bytes in (("byte", 1), ("short", 2), ("int", 4), ("long", 8), ("longlong", 8)):
    globals()[f"c_{_name}"] = _integer(f"c_{_name}", _bytes, True)
    globals()[f"c_u{_name}"] = _integer(f"c_u{_name}", _bytes, False)
c_int8, c_int16, c_int32, c_int64 = c_byte, c_short, c_int, c_long  # noqa: F821
c_uint8, c_uint16, c_uint32, c_uint64 = c_ubyte, c_ushort, c_uint, c_ulong  # noqa: F821
c_ssize_t, c_size_t = c_long, c_ulong  # noqa: F821


class c_double(_SimpleCData):
    _zero = 0.0

    @classmethod
    def _cast(cls, value):
        return float(value)


class c_longdouble(c_double):
    _size = 16


class c_float(c_double):
    _size = 4

    @classmethod
    def _cast(cls, value):
        return _struct.unpack("f", _struct.pack("f", value))[0]


class c_bool(_SimpleCData):
    _size, _zero = 1, False

    @classmethod
    def _cast(cls, value):
        return bool(value)


class c_char(_SimpleCData):
    _size, _zero = 1, b"\0"


class c_wchar(_SimpleCData):
    _size, _zero = 4, "\0"


class c_char_p(_SimpleCData):
    _zero = None


class c_wchar_p(_SimpleCData):
    _zero = None


class c_void_p(_SimpleCData):
    _zero = None


class py_object(_SimpleCData):
    _zero = None


def sizeof(what):
    """The size in bytes of a scalar type or value, as on 64-bit Linux."""
    size = getattr(what, "_size", None)
    if size is None:
        raise TypeError("this type has no size")
    return size


alignment = sizeof


class _Denied:
    """A name which can be subclassed and annotated with, and not used."""

    def __init__(self, *args, **kwargs):
        raise _deny(type(self).__name__)


class Structure(_Denied):
    pass


class Union(_Denied):
    pass


class Array(_Denied):
    pass


class BigEndianStructure(Structure):
    pass


class LittleEndianStructure(Structure):
    pass


class CDLL(_Denied):
    pass


class PyDLL(CDLL):
    pass


class LibraryLoader:
    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise _deny(f"{self._name}.{attribute}")

    def LoadLibrary(self, name):
        raise _deny(f"{self._name}.LoadLibrary")


cdll, pydll, pythonapi = LibraryLoader("cdll"), LibraryLoader("pydll"), LibraryLoader("pythonapi")


def _denying(name):
    def function(*args, **kwargs):
        raise _deny(name)

    function.__name__ = function.__qualname__ = name
    return function


for _name in ("CFUNCTYPE PYFUNCTYPE POINTER pointer byref addressof cast memmove memset resize string_at wstring_at "
              "create_string_buffer create_unicode_buffer get_errno set_errno").split():
    globals()[_name] = _denying(_name)
