package org.apache.spark.sql.davy

import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.resource.ResourceProfile
import org.apache.spark.sql.catalyst.expressions.{Attribute, AttributeSet, Expression, PythonUDF}
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
    val setting = conf.getClass.getMethods.find(_.getName == "pysparkArrowValidateSchema")
    val validates = setting.exists(_.invoke(conf) == true)
    val stage = MapStage(
      func,
      child.output,
      output.length,
      if (validates) Some(func.dataType) else None,
      settings.copy(metrics = pythonMetrics),
      limits,
      ColumnMetrics(metrics)
    )
    val batches = GatherExec.batches(child, stage)
    val mapped =
      if (isBarrier) batches.barrier().mapPartitions(stage.run)
      else batches.mapPartitionsInternal(stage.run)
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
) extends BatchStage {
  @transient private lazy val wrapped = {
    val struct = StructType(
      childOutput.map(a => StructField(a.name, a.dataType, a.nullable, a.metadata))
    )
    StructType(Seq(StructField("struct", struct)))
  }
  @transient private lazy val schema = ArrowSchemas.of(wrapped, settings)

  override def together: Boolean = true
  override def computed: Seq[Expression] = Nil
  override def shape: BatchShape = TableTask.shape(schema, struct = true)

  override def run(batches: Iterator[InputBatch]): Iterator[ColumnarBatch] = {
    val context = TaskContext.get()
    val results = TableTask.results(
      batches,
      schema,
      struct = true,
      apart = false,
      StockRunner.table(func, Array(0), wrapped, settings),
      metrics,
      context
    )
    new StructColumns(results, width, checked, settings.evalType, context)
  }
}
