package org.apache.spark.sql.davy

import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.execution.SparkPlan
import org.apache.spark.sql.execution.python.EvalPythonExec.ArgumentMetadata
import org.apache.spark.sql.execution.python.EvalPythonUDTFExec
import org.apache.spark.sql.types.{DataType, StructType}
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * Table functions through linear memory. How rows are joined to what the function gives for them is
 * Spark's own trait's.
 */
case class DavyUdtfPythonExec(
    udtf: PythonUDTF,
    requiredChildOutput: Seq[Attribute],
    resultAttrs: Seq[Attribute],
    child: SparkPlan,
    settings: StockSettings
) extends EvalPythonUDTFExec
    with BatchPythonExec {

  override def functions: Seq[Expression] = Seq(udtf)
  override def evalType: Int = settings.evalType

  // Made on the driver; goes to the tasks with the node.
  private lazy val stage = UdtfStage(
    udtf,
    ScalarStage.types(resultAttrs),
    settings.copy(metrics = pythonMetrics),
    limits,
    ColumnMetrics(metrics)
  )

  override protected def doExecute(): RDD[InternalRow] = {
    val _ = stage
    super.doExecute()
  }

  override protected def evaluate(
      arguments: Array[ArgumentMetadata],
      rows: Iterator[InternalRow],
      schema: StructType,
      context: TaskContext
  ): Iterator[Iterator[InternalRow]] = stage.run(arguments, rows, schema, context)

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    copy(child = newChild)
}

/** What the tasks of the node do. */
private[davy] final case class UdtfStage(
    udtf: PythonUDTF,
    types: Seq[DataType],
    settings: StockSettings,
    limits: BatchLimits,
    metrics: ColumnMetrics
) {

  /** The rows that each row of the input has; valid until the next are asked for. */
  def run(
      arguments: Array[ArgumentMetadata],
      rows: Iterator[InternalRow],
      schema: StructType,
      context: TaskContext
  ): Iterator[Iterator[InternalRow]] = {
    val arrow = ArrowSchemas.of(schema, settings)
    val shape = TableTask.shape(arrow, struct = false)
    val allocator = BatchMemory.allocator(context)
    val results = TableTask.results(
      new InputBatches(rows, shape, identity, limits, allocator),
      arrow,
      struct = false,
      apart = true,
      StockRunner.udtf(udtf, arguments, schema, settings),
      metrics,
      context
    )
    var current: OutputBatch = null
    context.addTaskCompletionListener[Unit](_ => if (current != null) current.close())
    results.flatMap { batch =>
      if (current != null) current.close()
      current = batch
      // One column, a struct: its fields are the function's columns.
      val columns = batch.fields.take(types.length)
      val actual = columns.map(_.dataType()).toSeq
      if (!DataType.equalsIgnoreCompatibleCollation(types, actual))
        throw OutputTypes.mismatch("Python UDTF", types, actual)
      val rows = new ColumnarBatch(columns, batch.rows)
      val ends = batch.slices.scanLeft(0)(_ + _)
      ends.iterator.zip(ends.iterator.drop(1)).map { case (from, until) =>
        Iterator.range(from, until).map(rows.getRow)
      }
    }
  }
}

private[davy] object UdtfStage {

  /** The function's arguments, each once. */
  def inputs(udtf: PythonUDTF): Seq[Expression] = udtf.children.map {
    case NamedArgumentExpression(_, value) => value
    case plain                             => plain
  }
}
