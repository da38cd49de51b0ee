package org.apache.spark.sql.davy

import java.util.concurrent.ConcurrentLinkedQueue
import scala.jdk.CollectionConverters._

import org.apache.spark.TaskContext
import org.apache.spark.api.python.{ChainedPythonFunctions, PythonEvalType}
import org.apache.spark.rdd.RDD
import org.apache.spark.resource.ResourceProfile
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Attribute, AttributeSet, PythonUDF}
import org.apache.spark.sql.catalyst.plans.physical.Partitioning
import org.apache.spark.sql.execution.SparkPlan
import org.apache.spark.sql.execution.metric.SQLMetric
import org.apache.spark.sql.execution.python.PythonSQLMetrics
import org.apache.spark.sql.types.{DataType, StructField, StructType}
import org.apache.spark.sql.vectorized.{ColumnVector, ColumnarBatch}

/** `mapInPandas` and `mapInArrow` through linear memory. */
case class DavyMapInBatchExec(
    func: PythonUDF,
    output: Seq[Attribute],
    child: SparkPlan,
    isBarrier: Boolean,
    profile: Option[ResourceProfile],
    settings: StockSettings
) extends ColumnarPythonExec
    with PythonSQLMetrics {

  override def producedAttributes: AttributeSet = AttributeSet(output)
  override def outputPartitioning: Partitioning = child.outputPartitioning
  override def functions: Seq[PythonUDF] = Seq(func)
  override def evalType: Int = settings.evalType
  override lazy val metrics: Map[String, SQLMetric] = pythonMetrics ++ columnMetrics

  override protected def doExecuteColumnar(): RDD[ColumnarBatch] = {
    // A setting that Spark 4.0 has not.
    val validates = conf.getClass.getMethod("pysparkArrowValidateSchema").invoke(conf) == true
    val stage = MapStage(
      func,
      child.output,
      output.length,
      if (validates) Some(func.dataType) else None,
      settings.copy(metrics = pythonMetrics),
      limits,
      ColumnMetrics(metrics)
    )
    val rows = childRows
    val mapped =
      if (isBarrier) rows.barrier().mapPartitions(stage.run)
      else rows.mapPartitionsInternal(stage.run)
    profile.fold(mapped)(mapped.withResources)
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    copy(child = newChild)
}

/** What the tasks of the node do. */
private[davy] final case class MapStage(
    func: PythonUDF,
    childOutput: Seq[Attribute],
    width: Int,
    checked: Option[DataType],
    settings: StockSettings,
    limits: BatchLimits,
    metrics: ColumnMetrics
) {
  def run(rows: Iterator[InternalRow]): Iterator[ColumnarBatch] = {
    val context = TaskContext.get()
    val struct = StructType(
      childOutput.map(a => StructField(a.name, a.dataType, a.nullable, a.metadata))
    )
    val wrapped = StructType(Seq(StructField("struct", struct)))
    val schema = ArrowSchemas.of(wrapped, settings)
    val fields = schema.getFields.get(0).getChildren.asScala.toArray
    val shape = BatchShape(fields, fields.length, fields.indices.toArray)
    val allocator = ArrowSchemas.allocator(context)
    val sent = new ConcurrentLinkedQueue[InputBatch]
    context.addTaskCompletionListener[Unit](_ => sent.asScala.foreach(_.close()))
    val batches = new InputBatches(rows, shape, identity, limits, allocator)
    val funcs = Seq((ChainedPythonFunctions(Seq(func.func)), func.resultId.id))
    val runner = new BatchRunner(
      StockRunner.struct(funcs, wrapped, settings),
      Wire(schema, shape.arguments, struct = true),
      sent,
      keeps = false,
      allocator,
      metrics
    )
    new StructColumns(runner.compute(batches, context.partitionId(), context), context)
  }

  /** The fields of the one struct that each batch of results is. */
  private final class StructColumns(results: Iterator[OutputBatch], context: TaskContext)
      extends Iterator[ColumnarBatch] {
    private var current: OutputBatch = _
    context.addTaskCompletionListener[Unit](_ => if (current != null) current.close())

    override def hasNext: Boolean = results.hasNext

    override def next(): ColumnarBatch = {
      if (current != null) current.close()
      current = null
      current = results.next()
      val actual = current.columns(0).dataType()
      checked.filterNot(DataType.equalsIgnoreCompatibleNullability(actual, _)).foreach { expected =>
        throw OutputTypes.mismatch(
          PythonEvalType.toString(settings.evalType),
          Seq(expected),
          Seq(actual)
        )
      }
      val columns = Array.tabulate[ColumnVector](width)(current.columns(0).getChild)
      new ColumnarBatch(columns, current.rows)
    }
  }
}
