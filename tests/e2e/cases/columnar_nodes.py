"""What holds of every node that passes Arrow batches through linear memory: all kinds of functions in turn."""

import re

from cases.every_node import NODES, nodes_of, settings
from harness.registry import case

COLUMNAR = {"spark__davy__columnar": "false"}
# One partition after a shuffle, and batches of two rows: each function is called again after its first result.
SMALL = {"spark__sql__shuffle__partitions": 1, "spark__sql__execution__arrow__maxRecordsPerBatch": 2}
PLAIN = {"spark__sql__adaptive__enabled": "false"}
#: The figures that each node shows beside Spark's own, and Spark's own that are Davy's to count.
FIGURES = (
    *("davyRowsSent", "davyBatchesSent", "davyBatchesReceived", "pythonDataSent", "pythonDataReceived"),
    *("pythonNumRowsReceived", "davyGather", "davyGuest", "davyCopyIn", "davyCopyOut", "davyValidate", "davyStart"),
    "davyPeakMemory",
)


def _rows(spark, count=6):
    return spark.range(0, count, 1, 1).selectExpr("id", "id % 3 as k")


def _outcome(spark, said):
    alive = [r[0] for r in spark.range(0, 6, 1, 3).selectExpr("id + 1").collect()] == [1, 2, 3, 4, 5, 6]
    return {"said": said, "alive": alive}


def streams(_):
    """Readers and writers of Arrow streams in the interpreter, as 1 and 2 of a number."""
    import gc

    import pyarrow as pa

    # Davy puts its own results into an object of the writer's class, which it leaves empty.
    found = gc.get_objects()
    read = any(isinstance(o, pa.lib._RecordBatchStreamReader) for o in found)
    written = any(isinstance(o, pa.lib._RecordBatchStreamWriter) and not hasattr(o, "_davy") for o in found)
    return read + 2 * written


def _seen(frame):
    """What all calls saw together."""
    total = 0
    for (found,) in frame.collect():
        total |= found
    return total


@case("no_aqe", seconds=180)
def no_stream_in_the_guest(spark):
    """Neither read nor written, by any function; without the path every function meets both."""

    def seen():
        return [_seen(node.query(_rows(spark), streams)) for node in NODES]

    with settings(spark, **SMALL):
        ours = seen()
        with settings(spark, **COLUMNAR):
            stocks = seen()
    return _outcome(spark, f"{ours} {stocks}")


def _streams_of_the_jvm(spark):
    """Objects of Arrow's that read or write streams, dead ones among them as long as nobody has swept them up."""
    jvm, new_array = spark._jvm, spark.sparkContext._gateway.new_array
    words = new_array(jvm.java.lang.String, 1)
    words[0] = "-all"
    arguments = new_array(jvm.java.lang.Object, 4)
    arguments[0] = jvm.javax.management.ObjectName("com.sun.management:type=DiagnosticCommand")
    arguments[1] = "gcClassHistogram"
    arguments[2] = new_array(jvm.java.lang.Object, 1)
    arguments[2][0] = words
    arguments[3] = new_array(jvm.java.lang.String, 1)
    arguments[3][0] = "[Ljava.lang.String;"
    # By the interface: the server's own class is none that others may call.
    methods = jvm.java.lang.Class.forName("javax.management.MBeanServer").getMethods()
    invoke = next(method for method in methods if method.getName() == "invoke")
    table = invoke.invoke(jvm.java.lang.management.ManagementFactory.getPlatformMBeanServer(), arguments)
    found = re.findall(r"(\d+) +\d+ +org\.apache\.arrow\.vector\.ipc\.ArrowStream(?:Reader|Writer)\b", table)
    return sum(map(int, found))


@case("no_aqe", seconds=180)
def no_stream_in_the_jvm(spark):
    """No object that reads or writes one was made; without the path there are some."""

    def made(node):
        # What lies there of queries of before is swept up, so that less of this one's is while it runs.
        spark._jvm.System.gc()
        before = _streams_of_the_jvm(spark)
        node.query(_rows(spark), lambda n: n).collect()
        return _streams_of_the_jvm(spark) > before

    with settings(spark, **SMALL):
        ours = {made(node) for node in NODES}
        with settings(spark, **COLUMNAR):
            # Of one node or another they may be swept up all the same.
            stocks = any(made(node) for node in {node.davy: node for node in NODES}.values())
    return _outcome(spark, f"{ours} {stocks}")


def _lines(frame, names):
    text = frame._jdf.queryExecution().executedPlan().toString()
    return [line for line in text.splitlines() if re.search(rf"\b({'|'.join(names)})\b", line)]


@case("no_aqe")
def plans_of_every_node(spark):
    """The node, its functions, their kind and where batches pass; with the path turned off, Spark's node."""
    wrong = []
    for node in NODES:
        names = (node.davy, node.stock.removesuffix("Iter"), "DavyByteChannel")
        lines = _lines(node.query(_rows(spark), lambda n: n), names)
        text = rf".*\b{node.davy} \[.*\b[pP]robing\(.+\).*\], SQL_{node.kind}_(UDF|UDTF), through linear memory"
        if len(lines) != 1 or not re.fullmatch(text, lines[0]):
            wrong.append((node.kind, lines))
        with settings(spark, **COLUMNAR):
            lines = _lines(node.query(_rows(spark), lambda n: n), (*names, "Davy\\w*"))
        if len(lines) != 1 or not re.search(rf"\b{node.stock.removesuffix('Iter')}\b", lines[0]):
            wrong.append((node.kind, "turned off", lines))
    return _outcome(spark, f"{len(NODES)} kinds, {len({n.davy for n in NODES})} nodes, {wrong}")


def _figures(frame, names):
    """Of the query's one node for functions, after it has run."""
    frame.collect()
    found = [n for n in nodes_of(frame) if n.nodeName() in {node.davy for node in NODES}]
    assert len(found) == 1, [n.nodeName() for n in nodes_of(frame)]
    metrics = found[0].metrics()
    return {name: metrics.apply(name).value() for name in names}


@case("no_aqe", seconds=180)
def figures_of_every_node(spark):
    """Each query has a sandbox of its own, which it starts: the variables of its functions' process are others."""

    def probe(n):
        return n + sum(range(2000)) * 0

    said = []
    with settings(spark, **SMALL):
        for number, node in enumerate(NODES):
            spark.sparkContext.environment["QUERY"] = str(number)
            try:
                query = node.query(_rows(spark, 600), probe)
            finally:
                del spark.sparkContext.environment["QUERY"]
            figures = _figures(query, FIGURES)
            numbers = [figures[name] for name in FIGURES[:3]]
            said.append((node.kind, *numbers, [name for name, value in figures.items() if value <= 0]))
    return _outcome(spark, str(said))


@case("limited", seconds=180)
def limits_in_the_figures_of_every_node(spark):
    """Of a task that goes on after it has met one."""

    def grasps(n):
        try:
            bytearray(1 << 29)
        except MemoryError:
            pass
        return n

    with settings(spark, **PLAIN):
        met = [_figures(node.query(_rows(spark), grasps), ["davyLimits"])["davyLimits"] for node in NODES]
        none = [_figures(node.query(_rows(spark), lambda n: n), ["davyLimits"])["davyLimits"] for node in NODES]
    return _outcome(spark, f"{met} {none}")
