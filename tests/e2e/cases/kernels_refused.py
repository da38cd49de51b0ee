"""Kernels that want more than a sandbox may have: each ends in a limit with its numbers. Only Davy's."""

from cases.refused import attempt
from harness.registry import case


def repeated_text(_):
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pa.array(["x" * (1 << 20)], pa.large_string())
    return len(pc.binary_repeat(text, 1000))


def joined_text(_):
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(["x" * (1 << 20)] * 32)
    return len(pc.binary_join_element_wise(*[texts] * 12, ""))


for _work in (repeated_text, joined_text):

    def _run(spark, work=_work):
        return attempt(spark, work)

    _run.__module__ = __name__
    case("limited", name=_work.__name__, seconds=60)(_run)
