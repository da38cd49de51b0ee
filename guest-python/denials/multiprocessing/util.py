import logging


def get_logger():
    return logging.getLogger("multiprocessing")


def log_to_stderr(level=None):
    return get_logger()


def register_after_fork(obj, func):
    pass


class Finalize:
    def __init__(self, obj, callback, args=(), kwargs=None, exitpriority=None):
        pass
