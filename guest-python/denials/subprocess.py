"""subprocess's names, all of which deny: a sandbox has one process, itself."""

from davy_denials import PROCESS, PROCESS_REMEDY, denied, denying

__all__ = ["Popen", "PIPE", "STDOUT", "call", "check_call", "getstatusoutput", "getoutput", "check_output",
           "run", "CalledProcessError", "DEVNULL", "SubprocessError", "TimeoutExpired", "CompletedProcess"]

PIPE, STDOUT, DEVNULL = -1, -2, -3


class SubprocessError(Exception):
    pass


class CalledProcessError(SubprocessError):
    def __init__(self, returncode, cmd, output=None, stderr=None):
        self.returncode, self.cmd, self.output, self.stderr = returncode, cmd, output, stderr

    def __str__(self):
        return f"Command '{self.cmd}' returned non-zero exit status {self.returncode}."

    @property
    def stdout(self):
        return self.output


class TimeoutExpired(SubprocessError):
    def __init__(self, cmd, timeout, output=None, stderr=None):
        self.cmd, self.timeout, self.output, self.stderr = cmd, timeout, output, stderr

    def __str__(self):
        return f"Command '{self.cmd}' timed out after {self.timeout} seconds"


class CompletedProcess:
    def __init__(self, args, returncode, stdout=None, stderr=None):
        self.args, self.returncode, self.stdout, self.stderr = args, returncode, stdout, stderr


class Popen:
    def __init__(self, *args, **kwargs):
        raise denied(PROCESS, "subprocess.Popen()", PROCESS_REMEDY)

    def __class_getitem__(cls, item):
        return cls


def list2cmdline(seq):
    import shlex

    return shlex.join(map(str, seq))


for _name in ("run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"):
    globals()[_name] = denying(PROCESS, f"subprocess.{_name}", PROCESS_REMEDY)
