"""Every Spark type as the state of a group, and as what a stateful function gives."""

import pandas as pd
from pyspark.sql import Row
from pyspark.sql.streaming import StatefulProcessor

from cases.attempts import attempt
from cases.streaming import stream, table
from cases.types_rows import TOGETHER, rows_of, schema_of, seen
from harness.registry import case

# One key in the first batch, and again in the second.
TWICE = [[("a", 1)], [("a", 2)]]
# The state store takes neither intervals nor maps whose keys are no text.
TYPES = {
    "numbers": TOGETHER["numbers"], "texts_and_times": TOGETHER["texts_and_times"][:-1],
    "nested": [kind for kind in TOGETHER["nested"] if "interval" not in kind and "map<int" not in kind],
}  # fmt: skip


class Kept(StatefulProcessor):
    """Keeps the next row of values in each kind of state, and gives what it kept before."""

    def __init__(self, kinds):
        self.kinds, self.rows = kinds, rows_of(kinds)

    def init(self, handle):
        schema = schema_of(self.kinds)
        self.value = handle.getValueState("value", schema)
        self.list = handle.getListState("list", schema)
        self.map = handle.getMapState("map", "i int", schema)

    def before(self):
        value = self.value.get() if self.value.exists() else None
        at = 0 if value is None else 1
        found = [value, *self.list.get(), *self.map.iterator()]
        self.value.update(self.rows[at])
        self.list.appendList(self.rows[at : at + 2])
        self.map.updateValue((at,), self.rows[at])
        return self.rows[at], seen(found)

    def handleInputRows(self, key, frames, timerValues):
        row, text = self.before()
        yield _frame(row, text)

    def close(self):
        pass


class KeptInRows(Kept):
    def handleInputRows(self, key, rows, timerValues):
        row, text = self.before()
        yield Row(**{f"c{i}": v for i, v in enumerate(row)}, seen=text)


def _frame(row, text):
    values = [pd.Series([v], dtype=None if isinstance(v, (bool, int, float)) else object) for v in row]
    return pd.DataFrame({**{f"c{i}": v for i, v in enumerate(values)}, "seen": [text]})


def _in_processors(kinds):
    def run(spark):
        found = []
        for processor in (Kept, KeptInRows):
            with stream(spark, TWICE) as frame:
                by = frame.groupBy("k")
                start = by.transformWithStateInPandas if processor is Kept else by.transformWithState
                schema = schema_of(kinds) + ", seen string"
                found.append(attempt(lambda: table(spark, start(processor(kinds), schema, "Update", "None"), "update")))
        return found

    run.__module__ = __name__
    return run


def _in_pandas(name):
    # Stock 4.3 reads neither the schema of an array or a map in this state, nor each nested column of a result.
    kinds = TOGETHER[name] if name != "nested" else ["array<int>", "array<array<string>>", "map<string,int>"]
    kept_kinds = [k for k in kinds if "<" not in k] or ["struct<a:int,b:string>"]

    def run(spark):
        rows, states = rows_of(kinds), rows_of(kept_kinds)

        def kept(key, frames, state):
            before = state.getOption
            at = 0 if before is None else 1
            state.update(states[at])
            yield _frame(rows[0 if name == "nested" else at], seen([before]))

        with stream(spark, TWICE) as frame:
            by = frame.groupBy("k")
            schemas = f"{schema_of(kinds)}, seen string", schema_of(kept_kinds)
            return table(spark, by.applyInPandasWithState(kept, *schemas, "append", "NoTimeout"))

    run.__module__ = __name__
    return run


for _name, _kinds in TYPES.items():
    case("streaming", since="4.1", name=f"processors_{_name}")(_in_processors(_kinds))
    case("streaming", name=f"pandas_{_name}")(_in_pandas(_name))


@case("streaming")
def pandas_state_of_arrays(spark):
    def kept(key, frames, state):
        before = state.getOption
        state.update(([1, None], {"é": 2}))
        yield pd.DataFrame({"seen": [repr(before)]})

    with stream(spark, TWICE) as frame:
        by = frame.groupBy("k")
        kind = "a array<int>, m map<string,int>"
        run = lambda: table(spark, by.applyInPandasWithState(kept, "seen string", kind, "append", "NoTimeout"))
        return attempt(run).partition("\\n SQLSTATE")[0]
