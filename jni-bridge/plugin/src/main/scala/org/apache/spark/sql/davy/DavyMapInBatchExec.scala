package org.apache.spark.sql.davy

import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.resource.ResourceProfile
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Attribute, AttributeSet, PythonUDF}
import org.apache.spark.sql.catalyst.plans.physical.Partitioning
import org.apache.spark.sql.execution.{SparkPlan, UnaryExecNode}
import org.apache.spark.sql.types.{DataType, StructField, StructType}
import org.apache.spark.sql.vectorized.ColumnarBatch

/** `mapInPandas` and `mapInArrow` through linear memory. */
case class DavyMapInBatchExec(
    func: PythonUDF,
    output: Seq[Attribute],
    child: SparkPlan,
    isBarrier: Boolean,
    profile: Option[ResourceProfile],
    settings: StockSettings
) extends UnaryExecNode
    with ColumnarPythonExec {

  override def producedAttributes: AttributeSet = AttributeSet(output)
  override def outputPartitioning: Partitioning = child.outputPartitioning
  override def functions: Seq[PythonUDF] = Seq(func)
  override def evalType: Int = settings.evalType

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
    val rows = rowsOf(child)
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
    val results = TableTask.results(
      rows,
      ArrowSchemas.of(wrapped, settings),
      struct = true,
      StockRunner.table(func, Array(0), wrapped, settings),
      limits,
      metrics,
      context
    )
    new StructColumns(results, width, checked, settings.evalType, context)
  }
}
