"""The worker of the hostile suite: runs the script that is its input, and says what `said` is then.

The script sees `outfile`.  An error is said as its type and words.
"""


def main(infile, outfile):
    scope = {"outfile": outfile}
    try:
        exec(compile(infile.read(), "attack", "exec"), scope)
        said = str(scope.get("said", "allowed"))
    except Exception as raised:
        said = f"{type(raised).__name__}: {raised}"
    scope.clear()
    outfile.write(said[:2000].encode(errors="replace"))
