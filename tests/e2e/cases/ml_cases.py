"""Models in Python: numpy in pandas UDFs, and the parts of pyspark.ml that start Python workers."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from pyspark.sql.functions import array, col, pandas_udf, udf

from cases.attempts import attempt, attempts
from harness.registry import case


class Net:
    """Two layers of whole weights: the answers are exact."""

    def __init__(self, inputs=3, hidden=4):
        rng = np.random.default_rng(5)
        self.first = rng.integers(-3, 4, (inputs, hidden)).astype(float)
        self.second = rng.integers(-3, 4, hidden).astype(float)

    def predict(self, x):
        return predict((self.first, self.second), x)


def predict(weights, x):
    return np.maximum(np.asarray(x, float) @ weights[0], 0) @ weights[1]


def points(spark, rows=9):
    return spark.createDataFrame(
        [(i, i / 2, -i, i % 4) for i in range(rows)], "id long, a double, b long, c int"
    ).coalesce(1)


@case("default", "small_batches", cluster=True)
def broadcast_model(spark):
    net = Net()
    model = spark.sparkContext.broadcast((net.first, net.second))

    @pandas_udf("double")
    def score(a: pd.Series, b: pd.Series, c: pd.Series) -> pd.Series:
        return pd.Series(predict(model.value, np.column_stack([a, b, c])))

    @pandas_udf("double")
    def score_all(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
        weights = model.value
        for columns in batches:
            yield pd.Series(predict(weights, np.column_stack(columns)))

    return points(spark).select("id", score("a", "b", "c"), score_all("a", "b", "c")).collect()


@case()
def one_model_per_group(spark):
    def fit(key, f):
        slope, offset = np.polyfit(f.a, 2 * f.a + key[0], 1)
        return pd.DataFrame({"c": [key[0]], "slope": [round(slope, 9) + 0.0], "offset": [round(offset, 9) + 0.0]})

    frame = points(spark, 16)
    return frame.groupBy("c").applyInPandas(fit, "c int, slope double, offset double").orderBy("c").collect()


@case()
def trained_on_the_driver(spark):
    """Least squares from a collected sample, then scored where the data is."""
    sample = points(spark).toPandas()
    weights = np.linalg.lstsq(sample[["a", "c"]].to_numpy(float), sample.a * 3 + sample.c, rcond=None)[0]

    @pandas_udf("double")
    def score(a: pd.Series, c: pd.Series) -> pd.Series:
        return (a * weights[0] + c * weights[1]).round(6)

    return points(spark).select(score("a", "c")).collect()


def _predictor(make, **how):
    from pyspark.ml.functions import predict_batch_udf

    return predict_batch_udf(make, **how)


@case("default", "small_batches")
def predict_batch_udf_forms(spark):
    from pyspark.sql.types import ArrayType, DoubleType, StructField, StructType

    def scalar():
        net = Net(1)
        return lambda x: net.predict(x.reshape(-1, 1))

    def rows():
        net = Net()
        return lambda x: net.predict(x)

    def named():
        return lambda x: {"double": x * 2, "shape": np.repeat([x.shape], len(x), 0).astype(float)}

    def columns():
        return lambda a, b: a + b

    result = StructType([StructField("double", DoubleType()), StructField("shape", ArrayType(DoubleType()))])
    frame = points(spark)
    return [
        frame.select(_predictor(scalar, return_type=DoubleType(), batch_size=4)("a")).collect(),
        frame.select(
            _predictor(rows, return_type=DoubleType(), batch_size=4, input_tensor_shapes=[[3]])(
                array("a", col("b") * 1.0, col("c") * 1.0)
            )
        ).collect(),
        attempt(lambda: frame.select(_predictor(rows, return_type=DoubleType(), batch_size=2)("a", "c")).collect()),
        frame.select(_predictor(named, return_type=result, batch_size=3)("a")).collect(),
        frame.select(_predictor(columns, return_type=DoubleType(), batch_size=3)("a", "c")).collect(),
    ]  # fmt: skip


@case()
def predict_batch_udf_wrong(spark):
    from pyspark.sql.types import DoubleType

    frame = points(spark, 3)

    def one(f, **how):
        return frame.select(
            _predictor(lambda: f, return_type=DoubleType(), batch_size=2, **how)("a").alias("v")
        ).collect()

    return attempts({
        "length": lambda: one(lambda x: x[:1]),
        "type": lambda: one(lambda x: "text"),
        "shape": lambda: one(lambda x: x, input_tensor_shapes=[[7]]),
        "raises": lambda: one(lambda x: x @ np.zeros((5, 5))),
        "names": lambda: one(lambda x: {"v": x}),
    })  # fmt: skip


@case()
def vectors_in_udfs(spark):
    """Vectors are a user-defined type of pyspark.ml's own, which the workers have."""
    from pyspark.ml.functions import array_to_vector, vector_to_array
    from pyspark.ml.linalg import DenseVector, SparseVector, Vectors, VectorUDT

    frame = spark.createDataFrame([(Vectors.dense([1.0, 2.5]),), (Vectors.sparse(4, {1: 3.0}),), (None,)], ["v"])
    size = udf(
        lambda v: None if v is None else f"{type(v).__name__} {v.norm(2):.6f} {v.toArray().tolist()}",
        "string",
        useArrow=False,
    )
    twice = udf(lambda v: None if v is None else Vectors.dense(v.toArray() * 2), VectorUDT(), useArrow=False)
    arrow = udf(lambda v: None if v is None else float(v.toArray().sum()), "double", useArrow=True)
    return [
        frame.select(size("v"), twice("v").alias("w"), arrow("v")).collect(),
        frame.where("v is not null").select(vector_to_array(twice("v"))).collect(),
        frame.rdd.map(lambda r: isinstance(r.v, (DenseVector, SparseVector))).collect(),
        frame.where("v is not null").select(array_to_vector(vector_to_array("v")).alias("x")).collect(),
    ]


@case()
def pipeline_of_the_jvm_with_a_udf(spark):
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import StringIndexer, VectorAssembler
    from pyspark.ml.functions import vector_to_array

    label = udf(lambda c: "odd" if c % 2 else "even", "string", useArrow=False)
    stages = [StringIndexer(inputCol="l", outputCol="i"), VectorAssembler(inputCols=["a", "i"], outputCol="f")]
    frame = points(spark).withColumn("l", label("c"))
    out = Pipeline(stages=stages).fit(frame).transform(frame)
    total = pandas_udf(lambda s: s.map(sum), "double")
    return out.select("l", "i", total(vector_to_array("f"))).collect()


@case()
def a_transformer_in_python(spark):
    from pyspark.ml import Transformer, UnaryTransformer
    from pyspark.sql.types import DoubleType

    class Doubled(UnaryTransformer):
        def createTransformFunc(self):
            return lambda x: x * 2.0

        def outputDataType(self):
            return DoubleType()

        def validateInputType(self, inputType):
            pass

    class Shifted(Transformer):
        def _transform(self, frame):
            return frame.withColumn("shifted", pandas_udf(lambda s: s + 1, "double")("doubled"))

    frame = Doubled().setInputCol("a").setOutputCol("doubled").transform(points(spark))
    return Shifted().transform(frame).select("a", "doubled", "shifted").collect()


@case()
def statistics_and_matrices(spark):
    def work(rows):
        from pyspark.ml.linalg import DenseMatrix, Vectors

        vectors = [Vectors.dense(r) for r in rows]
        matrix = DenseMatrix(2, 2, [1, 2, 3, 4])
        yield repr(
            [matrix.toArray().tolist(), vectors[0].dot(vectors[1]), vectors[0].squared_distance(vectors[1]), vectors]
        )

    return spark.sparkContext.parallelize([(1.0, 2.0), (3.0, 4.0)], 1).mapPartitions(work).collect()


@case()
def of_the_old_mllib(spark):
    from pyspark.mllib.linalg import Vectors
    from pyspark.mllib.regression import LabeledPoint
    from pyspark.mllib.stat import Statistics

    points = spark.sparkContext.parallelize([(0.0, [1.0, 2.0]), (1.0, [3.0, 6.0])], 2).map(lambda p: LabeledPoint(*p))
    summary = Statistics.colStats(points.map(lambda p: p.features))
    return [
        points.collect(),
        summary.mean().tolist(),
        points.map(lambda p: p.features.dot(Vectors.dense([1, 1]))).collect(),
    ]
