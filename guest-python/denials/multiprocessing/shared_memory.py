from . import deny


class SharedMemory:
    def __init__(self, *args, **kwargs):
        raise deny("shared_memory.SharedMemory")


class ShareableList:
    def __init__(self, *args, **kwargs):
        raise deny("shared_memory.ShareableList")
