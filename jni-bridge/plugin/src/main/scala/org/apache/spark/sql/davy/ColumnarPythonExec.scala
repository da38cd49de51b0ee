package org.apache.spark.sql.davy

import scala.jdk.CollectionConverters._

import org.apache.arrow.vector.types.pojo.{Field, Schema}
import org.apache.spark.api.python.PythonEvalType
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Attribute, Expression}
import org.apache.spark.sql.errors.QueryExecutionErrors
import org.apache.spark.sql.execution._
import org.apache.spark.sql.execution.metric.{SQLMetric, SQLMetrics}
import org.apache.spark.sql.execution.python.PythonSQLMetrics
import org.apache.spark.sql.types._
import org.apache.spark.sql.util.ArrowUtils

/** What Davy's nodes for Arrow functions have in common. */
trait BatchPythonExec extends SparkPlan with PythonSQLMetrics {

  /** The functions, for the plan's text. */
  def functions: Seq[Expression]

  /** Kind of the functions; see `PythonEvalType`. */
  def evalType: Int

  override protected def stringArgs: Iterator[Any] =
    Iterator(
      functions.mkString("[", ", ", "]"),
      PythonEvalType.toString(evalType),
      "through linear memory"
    )

  override lazy val metrics: Map[String, SQLMetric] = pythonMetrics ++ columnMetrics

  protected def columnMetrics: Map[String, SQLMetric] = Map(
    "davyGather" -> SQLMetrics
      .createNanoTimingMetric(sparkContext, "time to gather rows into batches"),
    "davyGuest" -> SQLMetrics
      .createNanoTimingMetric(sparkContext, "CPU time in the sandbox"),
    "davyCopyIn" -> SQLMetrics
      .createNanoTimingMetric(sparkContext, "time to copy batches into the sandbox"),
    "davyCopyOut" -> SQLMetrics
      .createNanoTimingMetric(sparkContext, "time to copy batches out of the sandbox"),
    "davyValidate" -> SQLMetrics
      .createNanoTimingMetric(sparkContext, "time to validate batches of the sandbox"),
    "davyStart" -> SQLMetrics.createNanoTimingMetric(sparkContext, "time to start sandboxes"),
    "davyJobSnapshot" -> SQLMetrics
      .createMetric(sparkContext, "tasks that shared a loaded function"),
    "davyJobSnapshotRefused" -> SQLMetrics
      .createMetric(sparkContext, "job snapshots refused"),
    "davyLimits" -> countedInFailures("tasks that met a limit of the sandbox"),
    "davyPeakMemory" -> SQLMetrics.createSizeMetric(sparkContext, "peak memory of the sandbox"),
    "davyRowsSent" -> SQLMetrics.createMetric(sparkContext, "rows sent to the sandbox"),
    "davyBatchesSent" -> SQLMetrics.createMetric(sparkContext, "batches sent to the sandbox"),
    "davyBatchesReceived" -> SQLMetrics.createMetric(
      sparkContext,
      "batches received from the sandbox"
    )
  )

  /** A task that a limit ends has failed: Spark's own metrics leave out what such a task counted. */
  private def countedInFailures(name: String): SQLMetric = {
    val metric = new SQLMetric("sum")
    metric.register(sparkContext, Some(name), countFailedValues = true)
    metric
  }

  protected def limits: BatchLimits =
    BatchLimits(conf.arrowMaxRecordsPerBatch, conf.arrowMaxBytesPerBatch)
}

private[davy] object ChildRows {

  /** The child's rows; of a columnar child, without a detour through unsafe rows. */
  def of(child: SparkPlan): RDD[InternalRow] =
    if (child.supportsColumnar)
      child.executeColumnar().mapPartitionsInternal(_.flatMap(_.rowIterator.asScala))
    else child.execute()
}

/** Those whose results are columns. */
trait ColumnarPythonExec extends BatchPythonExec {
  final override def supportsColumnar: Boolean = true

  override protected def doExecute(): RDD[InternalRow] = ColumnarToRowExec(this).execute()
}

private[davy] object ArrowSchemas {

  /** The schema of the arguments, as Spark makes it. */
  def of(schema: StructType, settings: StockSettings): Schema =
    toArrow(schema, settings.timeZone, errorOnDuplicates = true, settings.largeVarTypes)

  /** Fields of columns that stay on the host: nobody reads their names. */
  def kept(attributes: Seq[Attribute], timeZone: String): Array[Field] = {
    val schema = StructType(attributes.zipWithIndex.map { case (a, i) =>
      StructField(s"_$i", a.dataType, a.nullable)
    })
    toArrow(schema, timeZone, errorOnDuplicates = false, large = false).getFields.asScala.toArray
  }

  /** Spark 4.3 has one parameter more, with a default. */
  private def toArrow(
      schema: StructType,
      zone: String,
      errorOnDuplicates: Boolean,
      large: Boolean
  ) = {
    val methods = ArrowUtils.getClass.getMethods.filter(_.getName == "toArrowSchema")
    val method = methods.maxBy(_.getParameterCount)
    val args = Seq[AnyRef](schema, zone, Boolean.box(errorOnDuplicates), Boolean.box(large))
    val more = (args.length until method.getParameterCount).map { i =>
      ArrowUtils.getClass.getMethod(s"toArrowSchema$$default$$${i + 1}").invoke(ArrowUtils)
    }
    try method.invoke(ArrowUtils, args ++ more: _*).asInstanceOf[Schema]
    catch { case e: java.lang.reflect.InvocationTargetException => throw e.getCause }
  }

  /** Whether Arrow vectors can hold the type and give it back unchanged. */
  def holds(kind: DataType): Boolean = kind match {
    case BooleanType | ByteType | ShortType | IntegerType | LongType | FloatType | DoubleType |
        BinaryType | DateType | TimestampType | TimestampNTZType =>
      true
    // Not intervals of months: pyarrow has no array of these (`lib.get_array_class_from_type`).
    case _: DecimalType | _: DayTimeIntervalType => true
    // Not its subclasses char and varchar, which Spark checks at other places.
    case s: StringType          => s.getClass.getSimpleName.startsWith("StringType")
    case ArrayType(element, _)  => holds(element)
    case MapType(key, value, _) => holds(key) && holds(value)
    case s: StructType          => s.nonEmpty && s.forall(f => holds(f.dataType))
    case _                      => false
  }
}

private[davy] object OutputTypes {

  /** As Spark: columns of other types than declared are an error of the function's. */
  def check(expected: Seq[DataType], batch: OutputBatch): Unit = {
    val actual = batch.columns.map(_.dataType()).toSeq
    if (!DataType.equalsIgnoreCompatibleCollation(expected, actual))
      throw mismatch("pandas_udf()", expected, actual)
  }

  def mismatch(operation: String, expected: Seq[DataType], actual: Seq[DataType]): Throwable = {
    val kinds = Seq(classOf[String], classOf[Seq[_]], classOf[Seq[_]])
    QueryExecutionErrors.getClass
      .getMethod("arrowDataTypeMismatchError", kinds: _*)
      .invoke(QueryExecutionErrors, operation, expected, actual)
      .asInstanceOf[Throwable]
  }
}
