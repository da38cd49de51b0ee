"""Outcomes in a form that can be compared: values with their types, errors with
their class, message and traceback, less what differs between any two runs."""

from __future__ import annotations

import re


def canonical(value) -> str:
    """A text that is equal exactly when type and value are equal (NaN included)."""
    kind = type(value)
    if kind.__name__ == "Row" and hasattr(value, "__fields__"):
        inner = ", ".join(f"{k}={canonical(v)}" for k, v in zip(value.__fields__, value, strict=True))
        return f"Row({inner})"
    if isinstance(value, dict):
        inner = ", ".join(f"{canonical(k)}: {canonical(v)}" for k, v in value.items())
        return f"{'' if kind is dict else kind.__name__}{{{inner}}}"
    if isinstance(value, (set, frozenset)):
        return f"{kind.__name__}({', '.join(sorted(map(canonical, value)))})"
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        marks = "[]" if isinstance(value, list) else "()"
        name = "" if kind in (list, tuple) else kind.__name__
        return f"{name}{marks[0]}{', '.join(map(canonical, value))}{marks[1]}"
    if kind in (bool, int, str, bytes, type(None)):
        return repr(value)
    return scrub(f"{kind.__name__}:{value!r}")


# Each pair removes something that differs between two runs of the same program.
SCRUBS = [
    (r"0x[0-9a-fA-F]{6,}", "0xADDR"),
    (r"(\[[A-Z]([\w.]+;)?|[a-z]\w*\.\w+)@[0-9a-f]{1,8}\b", r"\1@ADDR"),  # a JVM object's default text
    (r"\bTID \d+", "TID N"),
    (r"\b([Tt]asks?) \d+(\.\d+)?", r"\1 N"),
    (r"\b([Ss]tage) \d+(\.\d+)?", r"\1 N"),
    (r"\(TID N\) \([^()]*(\([^()]*\))?[^()]*\)", "(TID N) (HOST)"),
    (r"\bpid[ =:]+\d+", "pid N"),
    (r"[Jj]ob \d+", "Job N"),
    (r"#\d+L?", "#N"),
    (r"/\S*?/(spark|blockmgr|pyspark|userFiles)-[0-9a-f-]{36}\S*", "TEMP"),
    (r"/\S*?/tmp[a-z0-9_]{8}\b", "TEMP"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
]
FRAME = re.compile(r'^(?P<indent>\s*(?:[|+-]\s*)*)File "(?P<path>[^"]*)", line (?P<line>\d+)(?P<rest>.*)$')


def _frame(match: re.Match) -> str:
    path, line, rest = match["path"], match["line"], match["rest"]
    if "/cases/" in path:
        # The user's own code: its line numbers must be right.
        path = path[path.rindex("/cases/") + 1 :]
    elif "pyspark" in path:
        path = "SPARK/" + path[path.rindex("pyspark/") :] if "pyspark/" in path else path
    elif not path.startswith("<"):
        path, line = "STDLIB/" + path.rsplit("/", 1)[-1], "N"
    return f'{match["indent"]}File "{path}", line {line}{rest}'


def scrub(text: str) -> str:
    """Removes what differs between two runs, source lines and JVM frames too.

    Source text is dropped because a traceback shows it only where the driver's
    files happen to be on the executor's machine.
    """
    lines, after_frame = [], False
    for line in text.splitlines():
        if line.startswith(("\tat ", "\t... ")):
            continue
        match = FRAME.match(line)
        if match:
            lines.append(_frame(match))
            after_frame = True
            continue
        if after_frame and re.match(r"^(\s{4,}|\s*\|\s{5,})\S", line):
            continue
        after_frame = False
        lines.append(line.rstrip())
    text = "\n".join(lines)
    for pattern, to in SCRUBS:
        text = re.sub(pattern, to, text)
    # With the JVM's frames gone, what follows the first trace repeats it.
    text = text.split("\nDriver stacktrace:")[0].split("\nCaused by:")[0]
    return text.strip()


def error(raised: BaseException) -> dict:
    """An exception as class, JVM class and message."""
    java = getattr(raised, "java_exception", None) or getattr(raised, "_origin", None)
    out = {"class": type(raised).__name__, "message": scrub(str(raised))}
    if java is not None:
        try:
            out["java"] = java.getClass().getName()
            out["message"] = scrub(java.getMessage() or "")
        except Exception:  # the gateway may be gone; the Python side's text is still there
            pass
    return out
