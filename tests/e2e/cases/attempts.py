"""Several outcomes in one case; for the driver's side only."""

from harness.outcome import canonical, error, scrub


def attempt(run):
    """What `run` returns, or its error as text."""
    try:
        return scrub(canonical(run()))
    except Exception as raised:
        return str(error(raised))


def attempts(table):
    """The outcome of each function of a table."""
    return {name: attempt(run) for name, run in table.items()}
