"""What the sandbox refuses, and that the executor lives on after each attempt. Run with Davy."""

import re
import sys

from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("tour").getOrCreate()
sc = spark.sparkContext


def read_passwd(_):
    return open("/etc/passwd").read()


def list_environment(_):
    import os

    return sorted(os.environ)


def open_socket(_):
    import socket

    return socket.create_connection(("127.0.0.1", 22))


def start_process(_):
    import subprocess

    return subprocess.run(["id"], capture_output=True)


def endless_loop(_):
    while True:
        pass


def memory_bomb(_):
    hoard = []
    while True:
        hoard.append(bytearray(32 << 20))


def message(error):
    text = str(error)
    davy = re.search(r"davy\.DavyException: (.*)", text)
    if davy:
        return davy[1]
    lines = text.split("\n\tat ")[0].split("\nDriver stacktrace")[0].rstrip().splitlines()
    words = [line for line in lines if re.match(r"^(\w*(Error|Exception)\b|limit exceeded)", line)]
    return words[-1] if words else lines[-1]


def alive():
    return sc.parallelize(range(100), 2).map(lambda x: x * x).sum() == 328350


print(f"{'attempt':<18} what the user sees")
fine = alive()
for attempt in (read_passwd, list_environment, open_socket, start_process, endless_loop, memory_bomb):
    try:
        seen = "allowed: " + ", ".join(sc.parallelize([0], 1).map(attempt).collect()[0])
        refused = attempt is list_environment and "PATH" not in seen.split(", ")
    except Exception as error:
        seen, refused = message(error), True
    lives = alive()
    fine = fine and refused and lives
    print(f"{attempt.__name__:<18} {seen}\n{'':<18} executor alive: {'yes' if lives else 'NO'}", flush=True)
print("(list_environment shows Spark's variables for the worker; none of the executor's own)")
spark.stop()
sys.exit(0 if fine else 1)
