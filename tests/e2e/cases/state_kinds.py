"""What a state of `transformWithState` can do, in pandas and in rows: values, lists, maps, times to live, timers."""

import re

import pandas as pd
from pyspark.sql import Row
from pyspark.sql.streaming import StatefulProcessor

from cases.streaming import stream, table
from harness.registry import case

WHAT = "k string, what string"


class Noting(StatefulProcessor):
    """Gives one text for each key and batch; `steps` makes it."""

    def handleInputRows(self, key, frames, timerValues):
        numbers = [int(n) for f in frames for n in f.n.dropna()]
        yield pd.DataFrame({"k": [key[0]], "what": [repr(self.steps(key[0], numbers, timerValues))]})

    def close(self):
        pass


class InRows:
    def handleInputRows(self, key, rows, timerValues):
        numbers = [row.n for row in rows if row.n is not None]
        yield Row(k=key[0], what=repr(self.steps(key[0], numbers, timerValues)))


class Values(Noting):
    def init(self, handle):
        self.value = handle.getValueState("value", "n long, s string")
        self.other = handle.getValueState("other", "n long")

    def steps(self, key, numbers, timerValues):
        found = [self.value.exists(), self.value.get(), self.other.exists()]
        for n in numbers:
            self.value.update((n, f"é{n}"))
        found += [self.value.get(), self.value.exists()]
        if 4 in numbers or 6 in numbers:
            self.value.clear()
            found += [self.value.exists(), self.value.get()]
            self.value.clear()
        self.other.update((None,))
        return [*found, self.other.get()]


class Lists(Noting):
    def init(self, handle):
        self.list = handle.getListState("list", "n long, s string")

    def steps(self, key, numbers, timerValues):
        found = [self.list.exists(), list(self.list.get())]
        if not found[0]:
            self.list.put([(n, None) for n in numbers] or [(-1, "é")])
        self.list.appendValue((10, "one"))
        self.list.appendList([(n * 2, f"é{n}") for n in numbers] or [(-2, "")])
        found.append(list(self.list.get()))
        # More than one message has.
        self.list.appendList([(i, "x" * (i % 7)) for i in range(300)])
        found.append(sum(n for n, _ in self.list.get()))
        first, second = self.list.get(), self.list.get()
        found.append([next(first), next(second), next(first)])
        if len(numbers) > 1:
            self.list.clear()
            found += [self.list.exists(), list(self.list.get())]
        else:
            self.list.put([(0, "put")])
        return [*found, list(self.list.get())]


class Maps(Noting):
    def init(self, handle):
        self.map = handle.getMapState("map", "k string, i int", "n long, t array<string>")

    def steps(self, key, numbers, timerValues):
        found = [self.map.exists(), self.map.getValue(("none", 0)), list(self.map.iterator())[:5]]
        for n in numbers:
            self.map.updateValue((f"é{n % 3}", n), (n, ["a", None] * (n % 2)))
        found += [list(self.map.keys())[:5], list(self.map.values())[-3:], list(self.map.iterator())[-5:]]
        for n in numbers[:1]:
            found += [self.map.containsKey((f"é{n % 3}", n)), self.map.getValue((f"é{n % 3}", n))]
            self.map.removeKey((f"é{n % 3}", n))
            self.map.removeKey(("not there", n))
            found += [self.map.containsKey((f"é{n % 3}", n)), len(list(self.map.keys()))]
        if 6 in numbers:
            self.map.clear()
            found += [self.map.exists(), list(self.map.values())]
        self.map.updateValue(("last", 0), (len(numbers), []))
        for i in range(150):
            self.map.updateValue(("many", i), (i, [str(i)]))
        return [*found, sum(v[0] for v in self.map.values())]


class Living(Noting):
    """What lives for an hour is there in the next batch, what lives for a millisecond is not."""

    def init(self, handle):
        hour, moment = 3_600_000, 1
        self.states = [handle.getValueState(f"v{t}", "n long", t) for t in (hour, moment)]
        self.lists = [handle.getListState(f"l{t}", "n long", t) for t in (hour, moment)]
        self.maps = [handle.getMapState(f"m{t}", "k string", "n long", t) for t in (hour, moment)]

    def steps(self, key, numbers, timerValues):
        found = [s.exists() for s in self.states + self.lists + self.maps]
        found += [s.get() for s in self.states] + [list(s.get()) for s in self.lists]
        found += [list(s.iterator()) for s in self.maps]
        for s in self.states:
            s.update((sum(numbers),))
        for s in self.lists:
            s.appendList([(n,) for n in numbers] or [(0,)])
        for s in self.maps:
            s.updateValue((key,), (len(numbers),))
        return [*found, timerValues.getCurrentWatermarkInMs(), timerValues.getCurrentProcessingTimeInMs() > 10**12]


class Timers(Noting):
    """Three timers a batch, one of which is taken back."""

    def init(self, handle):
        self.handle = handle
        self.kept = handle.getValueState("kept", "n long")

    def steps(self, key, numbers, timerValues):
        now = timerValues.getCurrentWatermarkInMs()
        before = sorted(self.handle.listTimers())
        for minutes in (1, 2, 500):
            self.handle.registerTimer(now + minutes * 60_000)
        self.handle.deleteTimer(now + 120_000)
        self.handle.deleteTimer(now + 77)
        self.kept.update((len(numbers),))
        return [now, before, sorted(self.handle.listTimers())]

    def rang(self, key, timerValues, info):
        at = info.getExpiryTimeInMs()
        return f"rang {at} {timerValues.getCurrentWatermarkInMs()} {sorted(self.handle.listTimers())} {self.kept.get()}"

    def handleExpiredTimer(self, key, timerValues, expiredTimerInfo):
        yield pd.DataFrame({"k": [key[0]], "what": [self.rang(key, timerValues, expiredTimerInfo)]})


class TimersInRows(InRows, Timers):
    def handleExpiredTimer(self, key, timerValues, expiredTimerInfo):
        yield Row(k=key[0], what=self.rang(key, timerValues, expiredTimerInfo))


def both(kind):
    return kind, type(f"{kind.__name__}InRows", (InRows, kind), {})


def kept(spark, pair, mode="Update", time="None", watermark=None):
    """What a processor gives in pandas and in rows."""
    found = []
    # By the clock, batches without data would follow one another for ever.
    spark.conf.set("spark.sql.streaming.noDataMicroBatches.enabled", str(time != "ProcessingTime").lower())
    try:
        for processor, of_rows in zip(pair, (False, True)):
            with stream(spark) as frame:
                by = (frame.withWatermark("t", watermark) if watermark else frame).groupBy("k")
                run = by.transformWithState if of_rows else by.transformWithStateInPandas
                found.append(table(spark, run(processor(), WHAT, mode, time), mode.lower()))
    finally:
        spark.conf.unset("spark.sql.streaming.noDataMicroBatches.enabled")
    return found


@case("streaming", since="4.1")
def values(spark):
    return kept(spark, both(Values))


@case("streaming", since="4.1")
def lists(spark):
    return kept(spark, both(Lists))


@case("streaming", since="4.1")
def maps(spark):
    return kept(spark, both(Maps))


@case("streaming", since="4.1")
def times_to_live(spark):
    return kept(spark, both(Living), time="ProcessingTime")


@case("streaming", since="4.1")
def timers(spark):
    return kept(spark, (Timers, TimersInRows), "Append", "EventTime", "1 minute")


@case("streaming", since="4.1")
def timers_of_the_clock(spark):
    """A timer of the past rings in the next batch."""

    class Past(Timers):
        def steps(self, key, numbers, timerValues):
            self.handle.registerTimer(1_000)
            self.kept.update((len(numbers),))
            return list(self.handle.listTimers())

        def rang(self, key, timerValues, info):
            return f"rang {info.getExpiryTimeInMs()} {timerValues.getCurrentWatermarkInMs()} {self.kept.get()}"

    class PastInRows(InRows, Past):
        handleExpiredTimer = TimersInRows.handleExpiredTimer

    return kept(spark, (Past, PastInRows), "Append", "ProcessingTime")


class Begun(Noting):
    def init(self, handle):
        self.list = handle.getListState("list", "n long")

    def steps(self, key, numbers, timerValues):
        found = list(self.list.get())
        self.list.appendList([(n,) for n in numbers] or [(0,)])
        return found

    def handleInitialState(self, key, state, timerValues):
        for n in state.n:
            self.list.appendValue((None if pd.isna(n) else int(n),))


class BegunInRows(InRows, Begun):
    def handleInitialState(self, key, state, timerValues):
        self.list.appendValue((state.n,))


@case("streaming", since="4.1")
def states_to_begin_with(spark):
    rows = [("a", 1000), ("a", 7), ("é", None), ("z", 5)]
    found = []
    for processor in (Begun, BegunInRows):
        begin = spark.createDataFrame(rows, "k string, n long").coalesce(1).groupBy("k")
        with stream(spark) as frame:
            by = frame.groupBy("k")
            run = by.transformWithState if processor is BegunInRows else by.transformWithStateInPandas
            found.append(table(spark, run(processor(), WHAT, "Update", "None", begin), "update"))
    return found


# Each alone: a use that Spark's server refuses ends its connection.
REFUSED = {
    "late": lambda p: p.handle.getValueState("late", "n long"), "timer": lambda p: p.handle.registerTimer(5),
    "nothing": lambda p: p.list.put([]), "text": lambda p: p.value.update(("text",)),
}  # fmt: skip


class Wrong(Noting):
    def __init__(self, use):
        self.use = use

    def init(self, handle):
        self.handle = handle
        self.value = handle.getValueState("value", "n long")
        self.list = handle.getListState("list", "n long")
        self.map = handle.getMapState("map", "k string", "n long")

    def steps(self, key, numbers, timerValues):
        return self.use(self)


class Twice(Wrong):
    def init(self, handle):
        super().init(handle)
        handle.getListState("value", "n long")


@case("streaming", since="4.1")
def wrong_uses(spark):
    def ending(processor):
        with stream(spark, [[("a", 1)]]) as frame:
            kept = frame.groupBy("k").transformWithStateInPandas(processor, WHAT, "Update", "None")
            try:
                return table(spark, kept, "update")
            except Exception as e:
                return [type(e).__name__, *re.findall(r"in steps|\w+Error: [^\n]{0,90}|STATEFUL_PROCESSOR\w+", str(e))]

    return [{name: ending(Wrong(use)) for name, use in REFUSED.items()}, ending(Twice(lambda p: None))]
