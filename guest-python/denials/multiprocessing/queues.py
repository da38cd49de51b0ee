from . import deny


class Queue:
    def __init__(self, *args, **kwargs):
        raise deny("Queue")


class SimpleQueue(Queue):
    pass


class JoinableQueue(Queue):
    pass
