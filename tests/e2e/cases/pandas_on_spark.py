"""A notebook in the pandas API on Spark: the functions a user gives run in Python workers."""

import pandas as pd
from pyspark.sql.functions import udf

from cases.files import Folder
from harness.registry import case

CSV = "id,day,team,hours,note\n" + "".join(
    f"{i},2024-0{i % 3 + 1}-{i % 27 + 1:02d},{'abc'[i % 3]},{i * 0.25 if i % 5 else ''},{'é' * (i % 4)}\n"
    for i in range(24)
)


def pandas_api():
    import warnings

    warnings.simplefilter("ignore")
    import pyspark.pandas as ps

    return ps


def work(spark, ps):
    """The data of the notebook, with an index that does not depend on partitions."""
    with Folder() as folder:
        local = pd.read_csv(folder.write("hours.csv", CSV), parse_dates=["day"])
    return ps.from_pandas(local.set_index("id"))


def shown(frame):
    return frame.sort_index().to_pandas().to_csv()


@case("pandas_on_spark")
def read_and_describe(spark):
    ps = pandas_api()
    with Folder() as folder:
        frame = ps.read_csv("file://" + folder.write("hours.csv", CSV), index_col="id")
        found = [
            frame.dtypes.to_dict(),
            frame.describe().round(6).to_pandas().to_csv(),
            shown(frame.head(3)),
            frame.shape,
        ]
    return found


@case("pandas_on_spark")
def select_and_clean(spark):
    ps = pandas_api()
    frame = work(spark, ps)
    clean = frame.dropna(subset=["hours"]).assign(day=lambda f: f.day.dt.strftime("%d.%m."), long=lambda f: f.hours > 2)
    return [shown(clean[clean.team != "a"]), shown(frame.fillna({"hours": -1}).query("hours < 0")), clean.long.sum()]


@case("pandas_on_spark")
def functions_on_columns(spark):
    ps = pandas_api()
    frame = work(spark, ps)

    def graded(h) -> str:
        return "none" if pd.isna(h) else "long" if h > 3 else "short"

    return [
        frame.hours.apply(graded).sort_index().to_pandas().tolist(),
        frame.hours.transform(lambda h: h * 2).sort_index().to_pandas().tolist(),
        frame.note.map(lambda t: 0 if not isinstance(t, str) else len(t)).sort_index().to_pandas().tolist(),
        frame.team.map({"a": "Ä", "b": "B"}).value_counts(dropna=False).sort_index().to_pandas().to_dict(),
    ]


@case("pandas_on_spark")
def groups(spark):
    ps = pandas_api()
    frame = work(spark, ps)

    def top(f) -> ps.DataFrame["team":str, "hours":float]:  # noqa: F821
        return f.nlargest(2, "hours")[["team", "hours"]]

    return [
        frame.groupby("team").agg({"hours": ["sum", "count", "max"]}).sort_index().to_pandas().to_csv(),
        sorted(map(tuple, frame.groupby("team").apply(top).to_numpy().tolist())),
        frame.groupby("team").hours.transform(lambda s: s - s.mean()).round(9).sort_index().to_pandas().tolist(),
        frame.groupby("team").note.nunique().sort_index().to_pandas().to_dict(),
        frame.groupby("team")[["hours"]].filter(lambda f: f.hours.sum() > 20).sort_index().to_pandas().to_csv(),
    ]


@case("pandas_on_spark")
def whole_frames(spark):
    ps = pandas_api()
    frame = work(spark, ps)[["hours"]]

    def halved(f) -> ps.DataFrame["half":float]:  # noqa: F821
        return pd.DataFrame({"half": f.hours / 2})

    return [
        frame.pandas_on_spark.apply_batch(halved).half.sum(),
        shown(frame.pandas_on_spark.transform_batch(lambda f: f.assign(again=f.hours * 3))),
        frame.apply(lambda c: c.max() - c.min()).to_dict(),
        frame.apply(lambda row: row.hours + 1, axis=1).sort_index().to_pandas().tolist(),
    ]


@case("pandas_on_spark")
def merges(spark):
    ps = pandas_api()
    frame = work(spark, ps).reset_index()
    teams = ps.DataFrame({"team": ["a", "b", "d"], "title": ["Ä-team", None, "nobody"]})
    joined = frame.merge(teams, on="team", how="left").set_index("id")
    return [
        shown(joined[["team", "title"]]),
        joined.title.isna().sum(),
        frame.merge(teams, on="team", how="outer").shape,
        ps.concat([teams, teams]).team.value_counts().sort_index().to_pandas().to_dict(),
    ]


@case("pandas_on_spark")
def windows_and_shifts(spark):
    ps = pandas_api()
    hours = work(spark, ps).hours.fillna(0).sort_index()
    return [
        hours.rolling(3).mean().round(9).sort_index().to_pandas().tolist(),
        hours.expanding(2).max().sort_index().to_pandas().tolist(),
        hours.shift(1).sort_index().to_pandas().tolist(),
        hours.cumsum().sort_index().to_pandas().tolist(),
        hours.rank().sort_index().to_pandas().tolist(),
    ]


@case("pandas_on_spark")
def reshaped(spark):
    ps = pandas_api()
    frame = work(spark, ps).assign(month=lambda f: f.day.dt.month)
    pivot = frame.pivot_table(values="hours", index=["team"], columns="month", aggfunc="sum")
    return [
        pivot.sort_index().to_pandas().to_csv(),
        frame.day.dt.month.value_counts().sort_index().to_pandas().to_dict(),
        sorted(frame[["team", "hours"]].melt(id_vars="team").dropna().to_pandas().value.tolist()),
        pd.Series(frame.hours.quantile([0.25, 0.5, 0.75]).to_pandas()).tolist(),
    ]


@case("pandas_on_spark")
def back_and_forth(spark):
    ps = pandas_api()
    frame = work(spark, ps)
    sql = frame.reset_index().to_spark()
    shout = udf(lambda t: None if t is None else t.upper(), "string", useArrow=True)
    again = sql.select("id", shout("team").alias("T"), "hours").pandas_api(index_col="id")
    return [
        shown(again.head(3)),
        ps.sql("select team, sum(hours) h from {f} group by team order by team", f=frame).to_pandas().to_csv(),
    ]


@case("pandas_on_spark")
def error_in_a_function(spark):
    ps = pandas_api()

    def bad(h) -> float:
        if h == 1.5:
            raise ValueError(f"nö {h}")
        return h

    return work(spark, ps).hours.apply(bad).sort_index().to_pandas().tolist()
