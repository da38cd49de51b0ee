"""A notebook in the pandas API on Spark up to its plots: what a plotting library would be given."""

import sys
import types

import numpy as np
import pandas as pd

from cases.files import Folder
from cases.pandas_on_spark import CSV, pandas_api, shown, work
from harness.registry import case


def numbers(spark, ps):
    rows = [(i % 7 - 3.0, (i * 37) % 11, None if i % 6 == 0 else i / 4, "abc"[i % 3]) for i in range(40)]
    return ps.from_pandas(pd.DataFrame(rows, columns=["x", "y", "z", "team"]))


def plain(value):
    """Without numpy's own numbers, rounded: sums may be added up in another order."""
    if isinstance(value, (np.ndarray, pd.Series, list, tuple)):
        return [plain(v) for v in value]
    return round(float(value), 9) if isinstance(value, (float, np.floating, np.integer)) else value


@case("pandas_on_spark")
def histograms(spark):
    ps = pandas_api()
    from pyspark.pandas.plot.core import HistogramPlotBase

    frame = numbers(spark, ps)
    found = []
    for data, bins in ((frame, 5), (frame.x, 3), (frame[["z"]], np.array([0.0, 2.5, 5.0, 10.0]))):
        columns, edges = HistogramPlotBase.prepare_hist_data(data[["x", "y"]] if data is frame else data, bins)
        counts = HistogramPlotBase.compute_hist(columns, edges)
        found.append((plain(edges), [(c.name, c.tolist()) for c in counts]))
    return found


@case("pandas_on_spark")
def boxes_and_densities(spark):
    ps = pandas_api()
    from pyspark.pandas.plot.core import BoxPlotBase, KdePlotBase

    frame = numbers(spark, ps).assign(z=lambda f: f.z.fillna(100))
    box = BoxPlotBase.compute_box(frame.to_spark(), ["x", "z"], 1.5, 0.01, True)
    density = KdePlotBase.compute_kde(frame[["x"]].to_spark(), 0.5, KdePlotBase.get_ind(frame[["x"]].to_spark(), 6))
    return [[plain(list(part)) for part in box], plain(density)]


@case("pandas_on_spark")
def rows_for_a_plot(spark):
    """The first rows for bars, a sample for lines: with no more rows than an option says, all of them."""
    ps = pandas_api()
    from pyspark.pandas.plot.core import SampledPlotBase, TopNPlotBase

    frame = numbers(spark, ps)
    top, sampled = TopNPlotBase(), SampledPlotBase()
    found = [
        top.get_top_n(frame.team.value_counts().sort_index()).to_dict(), top.partial,
        sampled.get_sampled(frame[["x", "z"]]).to_csv(), sampled.fraction,
    ]  # fmt: skip
    with ps.option_context("plotting.max_rows", 9):
        few, some = top.get_top_n(frame.y), sampled.get_sampled(frame.y)
        found += [few.tolist(), top.partial, len(some), sampled.fraction, set(some.y) <= set(few) | set(range(11))]
    with ps.option_context("plotting.sample_ratio", 1.0):
        found += [len(sampled.get_sampled(frame)), sampled.fraction]
    return found


@case("pandas_on_spark")
def plots_of_a_library_of_ones_own(spark):
    """A module with a function `plot` is a plotting library; this one shows what it got."""
    ps = pandas_api()
    drawn = types.ModuleType("little_plots")
    drawn.plot = lambda data, kind, **how: (kind, type(data).__name__, plain(data.to_numpy().tolist()), sorted(how))
    sys.modules["little_plots"] = drawn
    hours = work(spark, ps).hours.fillna(0)
    by_team = work(spark, ps).groupby("team").hours.sum().sort_index()
    with ps.option_context("plotting.backend", "little_plots"):
        return [
            by_team.plot.bar(), by_team.plot.pie(), by_team.to_frame().plot.barh(),
            hours.sort_index().head(5).plot.line(color="red"), by_team.plot.area(),
        ]  # fmt: skip


@case("pandas_on_spark")
def a_notebook(spark):
    """From files to the numbers of a figure, with the user's own functions on the way."""
    ps = pandas_api()
    teams = '{"team": "a", "title": "Ä"}\n{"team": "b", "title": null}\n{"team": "d", "title": "nobody"}\n'
    with Folder() as folder:
        hours = ps.read_csv("file://" + folder.write("hours.csv", CSV), parse_dates=False, index_col="id")
        names = ps.read_json("file://" + folder.write("teams.json", teams))
        frame = hours.join(names.set_index("team"), on="team", how="left")
        frame["day"] = ps.to_datetime(frame.day)
        frame["hours"] = frame.hours.fillna(frame.hours.mean())

        def best(f) -> ps.DataFrame["team":str, "day":str, "hours":float, "share":float]:  # noqa: F821
            f = f.sort_values(["hours", "day"], ascending=[False, True]).head(2)
            days = f.day.dt.strftime("%a %d.%m.")
            return pd.DataFrame({"team": f.team, "day": days, "hours": f.hours, "share": f.hours / f.hours.sum()})

        def label(title) -> str:
            return "?" if title is None else title.lower()

        by_month = frame.groupby([frame.team, frame.day.dt.month]).hours.mean()
        ordered = frame.sort_values(["day", "hours"]).reset_index(drop=True)
        summary = frame.groupby("team").agg(most=("hours", "max"), rows=("note", "count")).sort_index()
        return [
            shown(frame.assign(label=frame.title.apply(label))[["team", "label"]].head(6)),
            sorted(map(tuple, plain(frame.groupby("team").apply(best).to_numpy().tolist()))),
            plain(by_month.sort_index().to_pandas().tolist()),
            plain(ordered.hours.rolling(4, min_periods=2).sum().sort_index().to_pandas().tolist()),
            plain(ordered.groupby("team").hours.rolling(2).mean().sort_index().to_pandas().dropna().tolist()),
            plain(ordered.groupby("team").hours.expanding().max().sort_index().to_pandas().tolist()),
            summary.to_pandas().to_csv(),
            ps.merge(summary.reset_index(), names, on="team", how="outer").set_index("team").pipe(shown),
            plain(frame[["hours"]].groupby(frame.team).transform(lambda s: s - s.min()).hours.sum()),
            plain(frame.groupby("team").hours.apply(lambda s: s.quantile(0.5)).sort_index().to_pandas().tolist()),
        ]  # fmt: skip


@case("pandas_on_spark")
def files_and_back(spark):
    ps = pandas_api()
    frame = numbers(spark, ps)
    with Folder() as folder:
        frame.to_csv("file://" + folder.path + "/csv", num_files=1)
        frame.to_json("file://" + folder.path + "/json", num_files=1)
        frame.to_parquet("file://" + folder.path + "/parquet")
        read = [
            ps.read_csv("file://" + folder.path + "/csv"), ps.read_json("file://" + folder.path + "/json"),
            ps.read_parquet("file://" + folder.path + "/parquet"),
            ps.read_csv("file://" + folder.path + "/csv", names=["a", "b", "c", "d"], header=0, usecols=["a", "d"]),
        ]  # fmt: skip
        return [sorted(map(str, plain(f.apply(lambda row: repr(list(row)), axis=1).to_numpy().tolist()))) for f in read]
