"""Models as users bring them: an object of a shipped module, pickled; pipelines and their stages in Python."""

import os
import pickle
from collections.abc import Iterator

import numpy as np
import pandas as pd
from pyspark.sql.functions import array, col, pandas_udf, struct, udf

from cases.attempts import attempts
from cases.files import Folder
from cases.ml_cases import points
from harness.registry import case

# As scikit-learn's: estimators with parameters, fit and predict, a pipeline of them, all in numpy.
LEARN = '''
import numpy as np

LOADED = []

class Base:
    def __init__(self, **params):
        self.params = params

    def get_params(self):
        return dict(self.params)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in sorted(self.params.items()))})"

    def __setstate__(self, state):
        self.__dict__.update(state)
        LOADED.append(type(self).__name__)

class Scaler(Base):
    def fit(self, x, y=None):
        self.mean_, self.scale_ = x.mean(axis=0), np.where(x.std(axis=0) == 0, 1, x.std(axis=0))
        return self

    def transform(self, x):
        return (x - self.mean_) / self.scale_

class Ridge(Base):
    def fit(self, x, y):
        x = np.column_stack([x, np.ones(len(x))])
        penalty = self.params.get("alpha", 1.0) * np.eye(x.shape[1])
        self.coef_ = np.linalg.solve(x.T @ x + penalty, x.T @ y)
        return self

    def predict(self, x):
        return np.column_stack([x, np.ones(len(x))]) @ self.coef_

class Nearest(Base):
    """Classes as text, by the nearest of the rows that it has seen."""
    def fit(self, x, y):
        self.x_, self.classes_ = np.asarray(x, dtype=np.float32), np.asarray(y, dtype=object)
        return self

    def predict(self, x):
        far = ((np.asarray(x, np.float32)[:, None, :] - self.x_[None]) ** 2).sum(axis=2)
        return self.classes_[far.argmin(axis=1)]

    def predict_proba(self, x):
        far = 1 / (1 + ((np.asarray(x)[:, None, :] - self.x_[None]) ** 2).sum(axis=2))
        return far / far.sum(axis=1, keepdims=True)

class Pipe(Base):
    def fit(self, x, y):
        for step in self.params["steps"][:-1]:
            x = step.fit(x).transform(x)
        self.params["steps"][-1].fit(x, y)
        return self

    def predict(self, x):
        for step in self.params["steps"][:-1]:
            x = step.transform(x)
        return self.params["steps"][-1].predict(x)
'''


def learn(spark, folder):
    """The module, on the driver as well as where the functions run."""
    spark.sparkContext.addPyFile(folder.write("little_learn.py", LEARN))
    import little_learn

    return little_learn


def trained(learn, spark):
    sample = points(spark, 12).toPandas()
    x = sample[["a", "b", "c"]].to_numpy(float)
    pipe = learn.Pipe(steps=[learn.Scaler(), learn.Ridge(alpha=0.5)]).fit(x, 3 * x[:, 0] - x[:, 2])
    return pipe, learn.Nearest(k=1).fit(x[:4], ["é", "b", "c", "d"])


@case("default", "small_batches", cluster=True)
def pickled_objects(spark):
    with Folder() as folder:
        pipe, nearest = trained(learn(spark, folder), spark)
        blobs = spark.sparkContext.broadcast((pickle.dumps(pipe), pickle.dumps(nearest, protocol=2)))

        @pandas_udf("double")
        def score(a: pd.Series, b: pd.Series, c: pd.Series) -> pd.Series:
            return pd.Series(pickle.loads(blobs.value[0]).predict(np.column_stack([a, b, c]))).round(9)

        @pandas_udf("string")
        def label(batches: Iterator[tuple[pd.Series, ...]]) -> Iterator[pd.Series]:
            import little_learn

            before = len(little_learn.LOADED)
            model = pickle.loads(blobs.value[1])
            for n, columns in enumerate(batches):
                found = model.predict(np.column_stack(columns))
                yield pd.Series([f"{x} {n} {model} {len(little_learn.LOADED) - before}" for x in found])

        @pandas_udf("array<double>")
        def shares(rows: pd.DataFrame) -> pd.Series:
            return pd.Series(list(pickle.loads(blobs.value[1]).predict_proba(rows.to_numpy(float)).round(6)))

        return points(spark).select(
            "id", score("a", "b", "c"), label("a", "b", "c"), shares(struct("a", "b", "c"))
        ).collect()  # fmt: skip


@case()
def objects_of_a_closure_and_of_a_broadcast(spark):
    with Folder() as folder:
        module = learn(spark, folder)
        pipe, nearest = trained(module, spark)
        shared = spark.sparkContext.broadcast(nearest)

        def scored(frames):
            for f in frames:
                x = f[["a", "b", "c"]].to_numpy(float)
                found = pd.DataFrame({"p": pipe.predict(x).round(9), "l": shared.value.predict(x)})
                yield found.assign(name=repr(shared.value.get_params()))

        frame = points(spark).repartitionByRange(2, "id")
        frame.persist()
        again = frame.mapInPandas(scored, "p double, l string, name string")
        by_key = frame.groupBy("c").applyInPandas(
            lambda f: pd.DataFrame({"p": pipe.predict(f[["a", "b", "c"]].to_numpy(float)).round(9)}), "p double"
        )
        out = [again.collect(), sorted(by_key.collect())]
        frame.unpersist()
        return out


@case()
def missing_module_of_an_object(spark):
    """What a worker says to a pickle whose module it does not have."""
    blob = b"cno_such_learning\nModel\n."
    score = pandas_udf(lambda s: pickle.loads(blob).predict(s), "double")
    return attempts({"loads": lambda: points(spark, 2).select(score("a")).collect()})


@case("default", "small_batches")
def several_tensors(spark):
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import ArrayType, DoubleType, FloatType, StructType

    def make():
        def predict(image, weights, bias):
            return (image @ weights[:, :, None])[:, :, 0] + bias[:, None]

        return predict

    def named():
        def predict(image, weights):
            return [{"sum": float(i.sum()), "shape": np.array(w.shape, float)} for i, w in zip(image, weights)]

        return predict

    frame = points(spark).select(
        array("a", "a", col("c") * 1.0, col("b") * 1.0).alias("image"), array(col("c") * 1.0, "a").alias("weights"),
        col("a").alias("bias"),
    )  # fmt: skip
    dots = predict_batch_udf(
        make, return_type=ArrayType(FloatType()), batch_size=4, input_tensor_shapes=[[2, 2], [2], []]
    )
    by_place = predict_batch_udf(
        make, return_type=ArrayType(FloatType()), batch_size=4, input_tensor_shapes={0: [2, 2], 1: [2]}
    )
    pairs = StructType().add("sum", DoubleType()).add("shape", ArrayType(DoubleType()))
    rows = predict_batch_udf(named, return_type=pairs, batch_size=2, input_tensor_shapes=[[2, 2], [2]])
    return attempts({
        "all": lambda: frame.select(dots("image", "weights", "bias")).collect(),
        "by place": lambda: frame.select(by_place("image", "weights", "bias")).collect(),
        "rows": lambda: frame.select(rows("image", "weights")).collect(),
        "too few": lambda: frame.select(dots("image", "weights")).collect(),
    })  # fmt: skip


STAGES = '''
import pandas as pd
from pyspark import keyword_only
from pyspark.ml import Estimator, Model, Transformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql.functions import pandas_udf, udf

class Times(Transformer, HasInputCol, HasOutputCol, DefaultParamsReadable, DefaultParamsWritable):
    factor = Param(Params._dummy(), "factor", "what to multiply with", TypeConverters.toFloat)

    @keyword_only
    def __init__(self, *, inputCol=None, outputCol=None, factor=1.0):
        super().__init__()
        self._setDefault(factor=1.0)
        self._set(**self._input_kwargs)

    def _transform(self, frame):
        factor = self.getOrDefault(self.factor)
        times = udf(lambda x: None if x is None else x * factor, "double", useArrow=factor > 2)
        return frame.withColumn(self.getOutputCol(), times(self.getInputCol()))

class _Line:
    shrink = Param(Params._dummy(), "shrink", "how much less of the slope", TypeConverters.toFloat)

class Line(_Line, Estimator, DefaultParamsReadable, DefaultParamsWritable):
    """A line through the points, from sums that Python workers make."""
    def __init__(self):
        super().__init__()
        self._setDefault(shrink=0.0)

    def _fit(self, frame):
        def sums(frames):
            for f in frames:
                yield pd.DataFrame({"n": [len(f)], "x": [f.x.sum()], "y": [f.label.sum()],
                                    "xx": [(f.x * f.x).sum()], "xy": [(f.x * f.label).sum()]})
        kinds = "n double, x double, y double, xx double, xy double"
        n, x, y, xx, xy = frame.mapInPandas(sums, kinds).groupBy().sum().first()
        slope = (n * xy - x * y) / (n * xx - x * x) * (1 - self.getOrDefault(self.shrink))
        model = LineModel()
        model._set(slope=slope, offset=(y - slope * x) / n)
        return self._copyValues(model)

class LineModel(_Line, Model, DefaultParamsReadable, DefaultParamsWritable):
    slope = Param(Params._dummy(), "slope", "slope", TypeConverters.toFloat)
    offset = Param(Params._dummy(), "offset", "offset", TypeConverters.toFloat)

    def _transform(self, frame):
        slope, offset = self.getOrDefault(self.slope), self.getOrDefault(self.offset)
        return frame.withColumn("prediction", pandas_udf(lambda s: s * slope + offset, "double")("x"))
'''


def stages(spark, folder):
    spark.sparkContext.addPyFile(folder.write("little_stages.py", STAGES))
    import little_stages

    return little_stages


def line(spark, rows=16):
    frame = points(spark, rows).withColumn("label", col("a") * 2 + 1 + (col("id") % 3 - 1) / 8)
    return frame.select("id", "a", "label")


@case()
def a_pipeline_kept_in_files(spark):
    from pyspark.ml import Pipeline, PipelineModel

    with Folder() as folder:
        ours = stages(spark, folder)
        pipeline = Pipeline(stages=[
            ours.Times(inputCol="a", outputCol="b", factor=2.0), ours.Times(inputCol="b", outputCol="x", factor=4.0),
            ours.Line(),
        ])  # fmt: skip
        pipeline.write().overwrite().save("file://" + os.path.join(folder.path, "pipeline"))
        again = Pipeline.load("file://" + os.path.join(folder.path, "pipeline"))
        model = again.fit(line(spark))
        model.save("file://" + os.path.join(folder.path, "model"))
        loaded = PipelineModel.load("file://" + os.path.join(folder.path, "model"))
        rounded = udf(lambda x: round(x, 9), "double", useArrow=False)
        return [
            [type(s).__name__ for s in loaded.stages],
            [{p.name: round(v, 9) for p, v in s.extractParamMap().items() if p.name in ("slope", "offset", "factor")}
             for s in loaded.stages],
            loaded.transform(line(spark, 5)).select("id", "b", "x", rounded("prediction")).collect(),
        ]  # fmt: skip


@case()
def cross_validation(spark):
    from pyspark.ml import Pipeline
    from pyspark.ml.evaluation import RegressionEvaluator
    from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

    with Folder() as folder:
        ours = stages(spark, folder)
        fit = ours.Line()
        grid = ParamGridBuilder().addGrid(fit.shrink, [0.0, 0.5]).build()
        validator = CrossValidator(
            estimator=Pipeline(stages=[ours.Times(inputCol="a", outputCol="x", factor=3.0), fit]),
            estimatorParamMaps=grid, evaluator=RegressionEvaluator(), numFolds=2, seed=3, parallelism=1,
        )  # fmt: skip
        best = validator.fit(line(spark))
        slope = best.bestModel.stages[-1].getOrDefault("slope")
        return [[round(float(m), 6) for m in best.avgMetrics], round(slope, 6)]


@case()
def columns_of_the_jvm_beside_python(spark):
    """A model of the JVM between two functions in Python."""
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import VectorAssembler
    from pyspark.ml.regression import LinearRegression

    with Folder() as folder:
        ours = stages(spark, folder)
        pipeline = Pipeline(stages=[
            ours.Times(inputCol="a", outputCol="x", factor=3.0), VectorAssembler(inputCols=["x"], outputCol="features"),
            LinearRegression(solver="normal"),
        ])  # fmt: skip
        out = pipeline.fit(line(spark)).transform(line(spark, 6))
        near = udf(lambda v, p: f"{v.toArray().tolist()} {p:.6f}", "string", useArrow=False)
        return out.select(near("features", "prediction")).collect()
