"""Two users of one Spark Connect server: one leaves secrets, both look for them.  Started by test_tenants.py."""

import json
import sys

from pyspark.sql import SparkSession
from pyspark.sql.connect.functions import udf
from pyspark.sql.types import StringType

SERVER = sys.argv[1]


def session(user):
    return SparkSession.builder.remote(f"{SERVER}/;user_id={user}").create()


ann, bob = session("ann"), session("bob")


@udf(StringType())
def leave(_):
    import builtins
    import os
    import time

    import pyspark.worker

    builtins.davy_secret = pyspark.worker.davy_secret = os.environ["DAVY_SECRET"] = "ann's"
    with open("/tmp/davy_secret", "w") as file:
        file.write("ann's")
    time.sleep(0.2)  # so that the other place is used as well
    return "left"


@udf(StringType())
def find(_):
    import builtins
    import os
    import time

    import pyspark.worker

    time.sleep(0.2)
    places = {
        "builtins": hasattr(builtins, "davy_secret"),
        "a module": hasattr(pyspark.worker, "davy_secret"),
        "the environment": "DAVY_SECRET" in os.environ,
        "/tmp": os.path.exists("/tmp/davy_secret"),
    }
    return ", ".join(place for place, found in places.items() if found)


def ask(spark, function):
    return sorted({row[0] for row in spark.range(0, 6, 1, 6).select(function("id")).collect()})


found = {
    "left": ask(ann, leave),
    "bob": ask(bob, find),
    "ann": ask(ann, find),
    "bob again": ask(bob, find),
}
print("RESULT " + json.dumps(found), flush=True)
for one in (ann, bob):
    one.stop()
