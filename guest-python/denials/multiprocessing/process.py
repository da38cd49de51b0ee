from . import Process as BaseProcess  # noqa: F401
from . import active_children, current_process, parent_process  # noqa: F401
