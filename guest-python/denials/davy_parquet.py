"""Stands in for `pyarrow._parquet`: PySpark's pandas API imports its names, and their use is denied."""


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)

    def deny(*args, **kwargs):
        raise NotImplementedError(
            f"Parquet is not part of this image: {name} of pyarrow.parquet was called. What to do: read and write "
            "Parquet with Spark (spark.read.parquet, DataFrame.write.parquet), or run this job without Davy."
        )

    return type(name, (), {"__new__": deny, "__module__": __name__})
