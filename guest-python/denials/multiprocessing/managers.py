from . import deny


class BaseManager:
    def __init__(self, *args, **kwargs):
        raise deny("managers.BaseManager")


class SyncManager(BaseManager):
    pass


class SharedMemoryManager(BaseManager):
    pass
