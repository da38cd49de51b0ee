"""Pools: one of processes denies, one of threads fails as a thread does."""

from . import TimeoutError, deny

__all__ = ["Pool", "ThreadPool"]


class Pool:
    def __init__(self, *args, **kwargs):
        raise deny("Pool")


class ThreadPool(Pool):
    def __init__(self, *args, **kwargs):
        import _thread

        _thread.start_new_thread(lambda: None, ())


class AsyncResult:
    pass


ApplyResult = MapResult = AsyncResult
