"""The shapes of pickled UDFs and where in a query they may stand."""

import functools
import re
import sys

from pyspark.sql import functions as F
from pyspark.sql.functions import col, udf

from harness.registry import case

GREETING = "grüezi"


def shout(text, mark="!"):
    return None if text is None else text.upper() + mark


class Scorer:
    """A callable with state, made on the driver."""

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, text):
        return sum(self.weights.get(c, 0.5) for c in text)


def people(spark):
    rows = [(1, "Zoë", 31, "a"), (2, "bob", None, "b"), (3, None, 45, "a"), (4, "東", 22, None), (5, "eve", 31, "b")]
    return spark.createDataFrame(rows, "id int, name string, age int, team string")


@case("default", "no_reuse", cluster=True)
def plain(spark):
    greet = udf(lambda n: f"{GREETING} {n}", "string", useArrow=False)
    return people(spark).select("id", greet("name").alias("g")).orderBy("id").collect()


@case()
def defaults_and_keywords(spark):
    f = udf(shout, "string", useArrow=False)

    @udf("string", useArrow=False)
    def show(a, *rest, b=5, **more):
        return f"{a} {rest} {b} {sorted(more.items())}"

    frame = people(spark)
    return [
        frame.select(f("name")).collect(),
        frame.select(f("name", F.lit("?"))).collect(),
        frame.select(f(text=col("name"), mark=F.lit("¡"))).collect(),
        frame.select(show("id", "age", b="team", z="name")).collect(),
    ]


@case()
def callables(spark):
    frame = people(spark).fillna("", ["name"])
    scorer = udf(Scorer({"e": 2.0, "b": 1.0}), "double", useArrow=False)
    part = udf(functools.partial(shout, mark="…"), "string", useArrow=False)
    builtin = udf(len, "int", useArrow=False)
    return frame.select(scorer("name"), part("name"), builtin("name")).collect()


@case("default", "no_aqe")
def chains_and_several(spark):
    inc = udf(lambda x: None if x is None else x + 1, "int", useArrow=False)
    double = udf(lambda x: None if x is None else 2 * x, "long", useArrow=False)
    both = udf(lambda a, b: f"{a}|{b}", "string", useArrow=False)
    frame = people(spark)
    return frame.select(
        inc(inc(inc("age"))),
        both(inc("age"), double(inc("id"))),
        both(F.upper("name"), inc(F.length("name"))),
        double("id"),
        F.coalesce(inc("age"), F.lit(0)) + double("id"),
    ).collect()


@case("default", "no_aqe", cluster=True)
def in_where_join_group_order(spark):
    even = udf(lambda x: x % 2 == 0, "boolean", useArrow=False)
    key = udf(lambda t: (t or "none")[0], "string", useArrow=False)
    frame = people(spark)
    teams = spark.createDataFrame([("a", "Ä-team"), ("b", "B-team"), ("n", "nobody")], "k string, title string")
    joined = frame.join(teams, key(frame.team) == teams.k)
    return [
        frame.where(even("id")).orderBy("id").collect(),
        joined.select("id", "title").orderBy("id").collect(),
        frame.groupBy(key("team").alias("k")).agg(F.count("*"), F.sum("age")).orderBy("k").collect(),
        frame.orderBy(key("team"), F.desc("id")).select("id").collect(),
        # Without the order, whichever executor answers first comes first.
        frame.groupBy("team")
        .agg(F.max("age").alias("m"))
        .select("m", even(F.coalesce("m", F.lit(1))))
        .orderBy("m")
        .collect(),
        frame.join(teams, even(frame.id) & (frame.team == teams.k), "left").orderBy("id").collect(),
    ]


@case()
def in_sql(spark):
    spark.udf.register("sql_shout", udf(shout, "string", useArrow=False))
    people(spark).createOrReplaceTempView("people")
    return spark.sql(
        "select team, sql_shout(name), count(*) over (partition by sql_shout(team)) from people "
        "where sql_shout(name) is not null order by id"
    ).collect()


@case()
def in_window_and_case(spark):
    size = udf(lambda n: -1 if n is None else len(n), "int", useArrow=False)
    frame = people(spark).withColumn("size", F.when(size("name") > 0, size("name")).otherwise(0))
    from pyspark.sql import Window

    return frame.select("id", "size", F.sum("size").over(Window.partitionBy("team").orderBy("id"))).collect()


@case()
def nondeterministic(spark):
    import random

    roll = udf(lambda: random.random(), "double", useArrow=False).asNondeterministic()
    frame = spark.range(100).select(roll().alias("r")).cache()
    values = [r.r for r in frame.collect()]
    frame.unpersist()
    return [len(set(values)) > 90, all(0 <= v < 1 for v in values)]


@case()
def imports_inside(spark):
    @udf("string", useArrow=False)
    def digest(s):
        import base64
        import csv
        import hashlib
        import html
        import io
        import itertools
        import json
        import statistics
        import textwrap
        import unicodedata
        import zlib
        from collections import Counter
        from urllib.parse import parse_qs, urlparse

        out = io.StringIO()
        csv.writer(out).writerow([s, 'q"uote'])
        return json.dumps(
            [
                hashlib.sha256(s.encode()).hexdigest(),
                hashlib.md5(s.encode()).hexdigest(),
                base64.b64encode(s.encode()).decode(),
                out.getvalue(),
                html.escape(f"<{s}>"),
                list(itertools.accumulate(map(ord, s)))[-1:],
                statistics.median([1, 2, 4]),
                textwrap.shorten(s * 9, 12),
                unicodedata.normalize("NFKD", s),
                zlib.crc32(s.encode()),
                Counter(s).most_common(1),
                parse_qs(urlparse("http://h/p?a=1&a=2&é=%C3%A9").query),
            ],
            ensure_ascii=False,
        )

    return people(spark).fillna("∅", ["name"]).select(digest("name")).collect()


@case()
def regex_dates_and_numbers(spark):
    pattern = re.compile(r"(?P<year>\d{4})-(?P<m>\d\d)|(?i:straße)|\bé+\b")

    @udf("string", useArrow=False)
    def work(s):
        import datetime
        import decimal
        import fractions
        import math

        found = [m.group() for m in pattern.finditer(s)]
        when = datetime.datetime.strptime("2024-02-29 13:14:15", "%Y-%m-%d %H:%M:%S")
        with decimal.localcontext() as ctx:
            ctx.prec = 50
            third = decimal.Decimal(1) / 3
        return repr(
            [
                found,
                when.strftime("%j %A %b %H:%M"),
                when.isocalendar()[1],
                str(third),
                fractions.Fraction("0.125"),
                math.gamma(5.5),
                math.fsum([0.1] * 10),
                f"{1234567.891:,.2f}",
                2**200 % 10**9,
                pow(3, -1, 7),
                round(2.675, 2),
                math.sin(1e22),
                math.exp(0.1),
                (0.1).hex(),
            ]
        )

    return (
        spark.createDataFrame([("2024-05 STRASSE éé x",), ("Straße 1999-12",)], "s string").select(work("s")).collect()
    )


@case()
def recursion_900(spark):
    def depth(n):
        return 0 if n == 0 else 1 + depth(n - 1)

    return spark.range(1).select(udf(lambda _: depth(900), "int", useArrow=False)("id")).collect()


@case()
def recursion_without_end(spark):
    def forever(n):
        return forever(n + 1)

    try:
        spark.range(1).select(udf(forever, "int", useArrow=False)("id")).collect()
    except Exception as e:
        text = str(e)
        # How often the frame repeats depends on what is below it.
        return [type(e).__name__, "RecursionError: maximum recursion depth exceeded" in text, "in forever" in text]


@case()
def recursion_caught(spark):
    def forever(n):
        return forever(n + 1)

    @udf("string", useArrow=False)
    def guarded(n):
        try:
            return str(forever(n))
        except RecursionError as e:
            return str(e)

    return spark.range(3).select(guarded("id")).collect()


@case()
def deep_native_recursion(spark):
    """Recursion through C code: repr, json, pickle and a comparison of deep values."""

    @udf("string", useArrow=False)
    def work(_):
        import json
        import pickle

        def nested(n):
            value = []
            for _ in range(n):
                value = [value]
            return value

        found = []
        for f in (repr, json.dumps, pickle.dumps, lambda v: v == nested(100_000)):
            try:
                f(nested(100_000))
                found.append("ok")
            except RecursionError as e:
                found.append(type(e).__name__)
        return str([*found, len(repr(nested(400)))])

    return spark.range(1).select(work("id")).collect()


@case()
def too_deep_for_the_parser(spark):
    """A MemoryError that no lack of memory made, and says nothing of memory."""
    try:
        spark.range(1).select(udf(lambda _: eval("-" * 8000 + "1"), "int", useArrow=False)("id")).collect()
    except Exception as e:
        lines = str(e).splitlines()
        return [
            type(e).__name__,
            [line for line in lines if "MemoryError" in line or "exceeded" in line or "GiB" in line],
        ]


@case()
def generators_and_context_managers(spark):
    @udf("array<string>", useArrow=False)
    def words(s):
        import contextlib

        @contextlib.contextmanager
        def bracket(out):
            out.append("<")
            yield out
            out.append(">")

        out = []
        with bracket(out) as o:
            o.extend(w for w in (s or "").split() if (n := len(w)) > 1 and n < 9)
        match out:
            case [_, _]:
                return ["empty"]
            case _:
                return out

    return spark.createDataFrame([("a bb ccc",), (None,), ("x",)], "s string").select(words("s")).collect()


@case()
def async_code(spark):
    @udf("int", useArrow=False)
    def work(x):
        async def add(a):
            return a + 1

        coroutine = add(x)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value

    return spark.range(2).select(work("id")).collect()


@case()
def many_udfs(spark):
    fs = [udf(lambda x, i=i: x * i, "long", useArrow=False) for i in range(60)]
    return spark.range(3).select(*[f("id").alias(f"c{i}") for i, f in enumerate(fs)]).collect()


@case(cluster=True)
def a_hundred_thousand_rows(spark):
    f = udf(lambda x: x * 2 + 1, "long", useArrow=False)
    return spark.range(0, 100_000, 1, 4).select(F.sum(f("id")), F.max(f("id"))).collect()


@case()
def limits_that_stop_early(spark):
    f = udf(lambda x: x + 1, "long", useArrow=False)
    frame = spark.range(0, 1_000_000, 1, 4).select(f("id").alias("v"))
    return [frame.limit(3).collect(), frame.first(), frame.take(2), frame.where("v = 5").limit(1).collect()]


@case()
def endless_generator_with_take(spark):
    def count(_):
        n = 0
        while True:
            yield n
            n += 1

    return spark.sparkContext.parallelize(range(2), 2).mapPartitions(count).take(5)


@case()
def vectorless_versions(spark):
    @udf("string", useArrow=False)
    def look(_):
        return (
            f"{sys.version_info[:2]} {sys.implementation.name} {sys.getdefaultencoding()} {sys.getfilesystemencoding()}"
        )

    return spark.range(1).select(look("id")).collect()


@case()
def with_python_rdd_between(spark):
    f = udf(lambda x: x + 1, "long", useArrow=False)
    rdd = spark.range(10).select(f("id").alias("v")).rdd.map(lambda r: (r.v, str(r.v)))
    return spark.createDataFrame(rdd, "v long, s string").where(f("v") % 2 == 0).orderBy("v").collect()


@case()
def foreach_on_frames(spark):
    total = spark.sparkContext.accumulator(0)
    spark.range(20).foreach(lambda r: total.add(r.id))
    spark.range(20).foreachPartition(lambda rows: total.add(100 * len(list(rows))))
    return total.value
