from . import AuthenticationError, BufferTooShort, Process, ProcessError, TimeoutError, get_context  # noqa: F401


class BaseContext:
    pass


class SpawnContext(BaseContext):
    pass


ForkContext = ForkServerContext = SpawnContext
