package org.apache.spark.sql.davy

import davy.DavyException
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.execution.SparkPlan
import org.apache.spark.sql.execution.metric.{SQLMetric, SQLMetrics}
import org.apache.spark.sql.execution.python.SparkRowQueue
import org.apache.spark.sql.execution.window.WindowExecBase

/** Window functions in pandas and Arrow through linear memory. */
case class DavyWindowPythonExec(
    windowExpression: Seq[NamedExpression],
    partitionSpec: Seq[Expression],
    orderSpec: Seq[SortOrder],
    child: SparkPlan,
    settings: StockSettings
) extends WindowExecBase
    with BatchPythonExec {

  override def functions: Seq[Expression] = windowExpression
  override def evalType: Int = settings.evalType
  override lazy val metrics: Map[String, SQLMetric] = pythonMetrics ++ columnMetrics +
    ("spillSize" -> SQLMetrics.createSizeMetric(sparkContext, "spill size"))

  override protected def doExecute(): RDD[InternalRow] = {
    val stage = WindowStage(
      windowExpression,
      partitionSpec,
      orderSpec,
      child.output,
      GroupedRun(settings.copy(metrics = pythonMetrics), limits, ColumnMetrics(metrics)),
      longMetric("spillSize")
    )
    child.execute().mapPartitionsInternal(stage.run)
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    copy(child = newChild)
}

/** What the tasks of the node do. */
private[davy] final case class WindowStage(
    windowExpression: Seq[NamedExpression],
    partitionSpec: Seq[Expression],
    orderSpec: Seq[SortOrder],
    childOutput: Seq[Attribute],
    run: GroupedRun,
    spillSize: SQLMetric
) {
  def run(rows: Iterator[InternalRow]): Iterator[InternalRow] = {
    val task = run.begin()
    val frames =
      new WindowFrames(windowExpression, partitionSpec, orderSpec, childOutput, spillSize)
    val table = task.table(frames.schema, struct = false)
    // Rows whose results are not there yet.
    val waiting = new SparkRowQueue(task.context, childOutput.length)
    val seen = rows.map { row =>
      val unsafe = row.asInstanceOf[UnsafeRow]
      waiting.add(unsafe)
      unsafe
    }
    val groups = table.groups(frames.groups(seen))
    val settings =
      run.settings.copy(conf = run.settings.conf + ("window_bound_types" -> frames.kinds))
    val stock = StockRunner.scalar(frames.funcs, frames.arguments, frames.schema, settings)
    val finish = frames.finish
    val pair = new JoinedRow
    new OutputRows(task.results(stock, Seq(table), groups), task.context).map { result =>
      val row = waiting.remove()
      if (row == null) throw DavyException.guest("it gave more rows than it was given")
      finish(pair(row, result))
    }
  }
}
