"""Local time: the process runs with TZ=Europe/Berlin, the session in New York."""

import datetime

from pyspark.sql.functions import expr, udf

from harness.registry import case

MOMENTS = [
    "1970-01-01 00:00:00", "2024-03-31 01:59:59", "2024-03-31 02:30:00", "2024-03-31 03:00:00",
    "2024-07-01 12:00:00", "2024-10-27 02:30:00", "2024-12-01 12:00:00", "2023-10-29 02:30:00",
    "1945-06-01 12:00:00", "2038-01-19 03:14:08", "2500-07-01 00:00:00.000001", "0100-01-01 00:00:00",
]  # fmt: skip


@case("berlin")
def timestamps_in(spark):
    frame = spark.createDataFrame([(m,) for m in MOMENTS], "s string").select(expr("cast(s as timestamp) as t"), "s")
    seen = udf(lambda v: f"{v!r} {v.timestamp():.6f}", "string", useArrow=False)
    return frame.select("s", seen("t")).collect()


@case("berlin")
def timestamps_out(spark):
    parse = udf(lambda s: datetime.datetime.fromisoformat(s), "timestamp", useArrow=False)
    frame = spark.createDataFrame([(m,) for m in MOMENTS], "s string").select("s", parse("s").alias("t"))
    return frame.select("s", expr("unix_micros(t)"), expr("cast(t as string)")).collect()


@case("berlin")
def aware_values_out(spark):
    @udf("timestamp", useArrow=False)
    def aware(hours):
        zone = datetime.timezone(datetime.timedelta(hours=hours))
        return datetime.datetime(2024, 6, 1, 12, tzinfo=zone)

    return (
        spark.createDataFrame([(-5,), (0,), (9,)], "h int").select(aware("h")).select(expr("unix_micros(*)")).collect()
    )


@case("berlin")
def local_time_functions(spark):
    def look(s):
        import time

        return [
            time.localtime(s)[:9],
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(s)),
            time.mktime((2024, 7, 1, 12, 0, 0, 0, 0, -1)),
            datetime.datetime.fromtimestamp(s).isoformat(),
            datetime.datetime.fromtimestamp(s).astimezone().utcoffset(),
            datetime.date.fromtimestamp(s),
            time.tzname,
            time.timezone,
        ]

    return spark.sparkContext.parallelize([0, 1_719_828_000, 1_704_067_200], 1).map(look).collect()


@case("berlin")
def zones_set_by_user_code(spark):
    names = [
        "America/New_York", "America/St_Johns", "America/Sao_Paulo", "Asia/Kathmandu", "Asia/Tokyo",
        "Australia/Lord_Howe", "Europe/Dublin", "Pacific/Apia", "UTC", "XST-3:30", "AAA4BBB,M3.2.0/1,M11.1.0",
        "CCC-9DDD,M10.1.0,M4.1.0", "<+05>-5", ":Europe/Paris", "", "No/Where", "Nowhere",
    ]  # fmt: skip

    def look(name):
        import os
        import time

        before = os.environ["TZ"]
        os.environ["TZ"] = name
        time.tzset()
        try:
            moments = [*range(-3_000_000_000, 6_000_000_000, 123_456_789), 253_402_300_799]
            seen = [(*time.localtime(m)[:9], time.localtime(m).tm_gmtoff, time.localtime(m).tm_zone) for m in moments]
            back = [time.mktime(time.localtime(m)) for m in moments]
            return name, seen, back, time.timezone, time.altzone, time.daylight, time.tzname
        finally:
            os.environ["TZ"] = before
            time.tzset()

    return spark.sparkContext.parallelize(names, 1).map(look).collect()


@case("berlin")
def zoneinfo(spark):
    def look(name):
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            zone = ZoneInfo(name)
        except ZoneInfoNotFoundError as e:
            return str(e)
        return [datetime.datetime(2024, m, 1, tzinfo=zone).isoformat() for m in (1, 7)]

    names = ["Europe/Berlin", "Asia/Kathmandu", "UTC", "America/St_Johns", "No/Where"]
    return spark.sparkContext.parallelize(names, 1).map(look).collect()


@case("berlin")
def partitions_of_times(spark):
    rdd = spark.sparkContext.parallelize([datetime.datetime(2024, m, 1) for m in range(1, 13)], 2)
    return rdd.map(lambda d: (d.month % 3, d)).groupByKey(2).mapValues(lambda v: max(v).isoformat()).collect()
