from . import AuthenticationError, BufferTooShort, deny  # noqa: F401


class Connection:
    def __init__(self, *args, **kwargs):
        raise deny("connection.Connection")


def Client(*args, **kwargs):
    raise deny("connection.Client")


def Listener(*args, **kwargs):
    raise deny("connection.Listener")


def Pipe(*args, **kwargs):
    raise deny("Pipe")


def wait(*args, **kwargs):
    raise deny("connection.wait")
