"""One process, one mode: a large broadcast model in many tasks at once.  Prints a JSON object.  Started by bench.py."""

import contextlib
import json
import os
import statistics
import sys
import threading
import time

import numpy as np
from pyspark.sql import SparkSession

mib, tasks = int(sys.argv[1]), int(sys.argv[2])
HOLD = 4
spark = SparkSession.builder.getOrCreate()
sc = spark.sparkContext
model = sc.broadcast(np.arange(mib << 17, dtype=np.float64))


def held():
    """MiB that the JVM, its Python processes and their shared memory files take."""
    parents, own = {}, {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
            parents[pid], own[pid] = int(fields["PPid"]), int(fields.get("RssAnon", "0 kB").split()[0])
    mine, frontier = set(), {jvm}
    while frontier:
        mine |= frontier
        frontier = {pid for pid, parent in parents.items() if parent in frontier}
    with open("/proc/meminfo") as info:
        shared = next(int(line.split()[1]) for line in info if line.startswith("Shmem:"))
    return (sum(own.get(pid, 0) for pid in mine) + shared) / 1024


def use(seconds):
    def run(part):
        # Every page is read, as by a model that is applied.
        total = float(model.value[::512].sum())
        time.sleep(seconds)
        return [total + len(list(part))]

    return run


def took(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def begins(part):
    """When the function has the model.  It leaves its input, so no worker serves a second task."""
    assert model.value[1] == 1
    yield time.time()


def starts(times: int) -> list[tuple[float, float]]:
    """Milliseconds from a task's launch until then, and of the executor's work at the task without what it
    loads of Spark's own, one task after the other."""
    lasted, store = [], sc._jsc.sc().statusStore()
    job = sc.parallelize([0], 1).mapPartitions(begins)
    for n in range(times):
        sc.setJobGroup(f"start {n}", "")
        began = job.collect()[0] * 1000
        sc._jsc.sc().listenerBus().waitUntilEmpty()
        tracker = sc.statusTracker()
        (stage,) = tracker.getJobInfo(tracker.getJobIdsForGroup(f"start {n}")[0]).stageIds
        task = store.taskList(stage, 0, 1).head()
        lasted.append((began - task.launchTime().getTime(), task.taskMetrics().get().executorRunTime()))
    return lasted


# The driver's side, and the JVM's, before anything is measured.
sc.parallelize(range(tasks), tasks).count()
jvm = sc._jvm.java.lang.ProcessHandle.current().pid()
sc._jvm.System.gc()
time.sleep(1)
found, before = {}, held()

seen = [before]
over = threading.Event()


def watch():
    while not over.wait(0.05):
        seen.append(held())


watcher = threading.Thread(target=watch)
watcher.start()
work = sc.parallelize(range(tasks), tasks).mapPartitions(use(HOLD))
found[f"first pass of {tasks} tasks, s"] = took(work.collect) - HOLD
during = []
sampler = threading.Timer(HOLD - 1, lambda: (sc._jvm.System.gc(), time.sleep(0.3), during.append(held())))
sampler.start()
found[f"second pass of {tasks} tasks, s"] = took(work.collect) - HOLD
sampler.join()
over.set()
watcher.join()
found["memory that they hold, copies of the model"] = (during[0] - before) / mib
found["most memory at any time, copies of the model"] = (max(seen) - before) / mib
one = sc.parallelize([0], 1).mapPartitions(use(0))
found["one more task, ms"] = statistics.median(took(one.collect) for _ in range(9)) * 1000
# The first are served by workers that are left from before; then one loads the model for this function.
used_up, others = (lasted := starts(tasks + 8))[: tasks + 1], lasted[tasks + 1 :]
found["from its launch until the first task in a new worker has the model, ms"] = max(begun for begun, _ in used_up)
for what, which in (("the same of the second to eighth task", 0), ("their whole run in the executor", 1)):
    found[f"{what}, median, ms"] = statistics.median(one[which] for one in others)
    found[f"{what}, most, ms"] = max(one[which] for one in others)
print("RESULT " + json.dumps(found), flush=True)
spark.stop()
