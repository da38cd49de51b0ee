"""`python -m harness` runs cases, see `run_cases.py`, in a JVM that begins with the settings of none.

PySpark gives a new JVM those of the first session, and they hold for every later one: where a process
follows one whose case hung, it begins in the middle of the groups.
"""

from pyspark import SparkContext

from harness import run_cases

SparkContext._ensure_initialized()
run_cases.main()
