"""State kept by `transformWithState`: its workers need protobuf beside pandas and pyarrow."""

import pandas as pd
from pyspark.sql import Row
from pyspark.sql.streaming import StatefulProcessor

from cases.streaming import stream, table
from harness.registry import case

TOTALS = "k string, rows long, total long"


class Totals(StatefulProcessor):
    """Counts and sums of each key, over all batches."""

    def init(self, handle):
        self.kept = handle.getValueState("kept", "rows long, total long")

    def handleInputRows(self, key, frames, timerValues):
        rows, total = self.kept.get() if self.kept.exists() else (0, 0)
        for f in frames:
            rows, total = rows + len(f), total + int(f.n.sum())
        self.kept.update((rows, total))
        yield pd.DataFrame({"k": [key[0]], "rows": [rows], "total": [total]})

    def close(self):
        pass


class TotalsOfRows(Totals):
    def handleInputRows(self, key, items, timerValues):
        rows, total = self.kept.get() if self.kept.exists() else (0, 0)
        for row in items:
            rows, total = rows + 1, total + (row.n or 0)
        self.kept.update((rows, total))
        yield Row(k=key[0], rows=rows, total=total)


class ListsAndMaps(Totals):
    def init(self, handle):
        self.seen = handle.getListState("seen", "n long")
        self.most = handle.getMapState("most", "parity string", "n long")

    def handleInputRows(self, key, frames, timerValues):
        for f in frames:
            for n in map(int, f.n.dropna()):
                self.seen.appendValue((n,))
                parity = "odd" if n % 2 else "even"
                before = self.most.getValue((parity,))[0] if self.most.containsKey((parity,)) else 0
                self.most.updateValue((parity,), (max(before, n),))
        seen = sorted(v[0] for v in self.seen.get())
        most = sorted((k[0], v[0]) for k, v in self.most.iterator())
        yield pd.DataFrame({"k": [key[0]], "what": [f"{seen} {most}"]})


class Alarms(Totals):
    def init(self, handle):
        super().init(handle)
        self.handle = handle

    def handleInputRows(self, key, frames, timerValues):
        rows = sum(len(f) for f in frames)
        self.handle.registerTimer(timerValues.getCurrentWatermarkInMs() + 60_000)
        yield pd.DataFrame({"k": [key[0]], "what": [f"in {rows}"]})

    def handleExpiredTimer(self, key, timerValues, expiredTimerInfo):
        yield pd.DataFrame({"k": [key[0]], "what": ["alarm"]})


class Fails(Totals):
    def handleInputRows(self, key, frames, timerValues):
        raise ValueError(f"nö {key[0]}")
        yield


@case("streaming")
def values_in_pandas(spark):
    with stream(spark) as frame:
        kept = frame.groupBy("k").transformWithStateInPandas(Totals(), TOTALS, "Update", "None")
        return table(spark, kept, "update")


@case("streaming", since="4.1")
def values_in_rows(spark):
    with stream(spark) as frame:
        kept = frame.groupBy("k").transformWithState(TotalsOfRows(), TOTALS, "Update", "None")
        return table(spark, kept, "update")


@case("streaming")
def lists_and_maps(spark):
    with stream(spark) as frame:
        kept = frame.groupBy("k").transformWithStateInPandas(ListsAndMaps(), "k string, what string", "Update", "None")
        return table(spark, kept, "update")


@case("streaming")
def timers(spark):
    with stream(spark) as frame:
        by = frame.withWatermark("t", "1 minute").groupBy("k")
        kept = by.transformWithStateInPandas(Alarms(), "k string, what string", "Append", "EventTime")
        return table(spark, kept)


@case("streaming")
def state_to_begin_with(spark):
    class Begun(Totals):
        def handleInitialState(self, key, state, timerValues):
            self.kept.update((100, int(state.n.sum())))

    begin = spark.createDataFrame([("a", 1000), ("z", 5)], "k string, n long").groupBy("k")
    with stream(spark) as frame:
        kept = frame.groupBy("k").transformWithStateInPandas(Begun(), TOTALS, "Update", "None", begin)
        return table(spark, kept, "update")


@case("streaming")
def error_in_a_processor(spark):
    with stream(spark, [[("a", 1)]]) as frame:
        try:
            return table(
                spark, frame.groupBy("k").transformWithStateInPandas(Fails(), TOTALS, "Update", "None"), "update"
            )
        except Exception as e:
            return [type(e).__name__, "ValueError: nö a" in str(e)]
