package org.apache.spark.sql.davy

import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.physical._
import org.apache.spark.sql.execution.{BinaryExecNode, CoGroupedIterator, SparkPlan}
import org.apache.spark.sql.execution.python.SparkGroups
import org.apache.spark.sql.vectorized.ColumnarBatch

/** `applyInPandas` and `applyInArrow` of cogroups through linear memory. */
case class DavyFlatMapCoGroupsExec(
    func: PythonUDF,
    leftGroup: Seq[Attribute],
    rightGroup: Seq[Attribute],
    output: Seq[Attribute],
    left: SparkPlan,
    right: SparkPlan,
    settings: StockSettings
) extends BinaryExecNode
    with ColumnarPythonExec {

  override def producedAttributes: AttributeSet = AttributeSet(output)
  override def outputPartitioning: Partitioning = left.outputPartitioning
  override def requiredChildDistribution: Seq[Distribution] =
    Seq(leftGroup, rightGroup).map(Groups.distribution)
  override def requiredChildOrdering: Seq[Seq[SortOrder]] =
    Seq(leftGroup, rightGroup).map(Groups.ordering)
  override def functions: Seq[Expression] = Seq(func)
  override def evalType: Int = settings.evalType

  override protected def doExecuteColumnar(): RDD[ColumnarBatch] = {
    val stage = CoGroupStage(
      func,
      Side(leftGroup, left.output),
      Side(rightGroup, right.output),
      output.length,
      GroupedRun(settings.copy(metrics = pythonMetrics), limits, ColumnMetrics(metrics))
    )
    ChildRows.of(left).zipPartitions(ChildRows.of(right))(stage.run)
  }

  override protected def withNewChildrenInternal(l: SparkPlan, r: SparkPlan): SparkPlan =
    copy(left = l, right = r)
}

private[davy] final case class Side(grouping: Seq[Attribute], output: Seq[Attribute])

/** What the tasks of the node do. */
private[davy] final case class CoGroupStage(
    func: PythonUDF,
    left: Side,
    right: Side,
    width: Int,
    run: GroupedRun
) {
  def run(l: Iterator[InternalRow], r: Iterator[InternalRow]): Iterator[ColumnarBatch] =
    if (l.isEmpty && r.isEmpty) Iterator.empty
    else {
      val task = run.begin()
      def prepare(side: Side, rows: Iterator[InternalRow]) = {
        val (columns, offsets) = SparkGroups.columns(side.output, side.grouping)
        val groups = SparkGroups.of(rows, side.grouping, side.output, columns)
        (offsets, task.table(Groups.schema(columns), struct = false), groups)
      }
      val (leftOffsets, leftTable, leftGroups) = prepare(left, l)
      val (rightOffsets, rightTable, rightGroups) = prepare(right, r)
      val groups = new CoGroupedIterator(leftGroups, rightGroups, left.grouping).map {
        case (_, ofLeft, ofRight) =>
          // As in Spark, a side without rows is one empty batch.
          Group(
            Seq(
              leftTable.batches(ofLeft, evenEmpty = true),
              rightTable.batches(ofRight, evenEmpty = true)
            )
          )
      }
      val stock = StockRunner.cogrouped(
        func,
        leftOffsets ++ rightOffsets,
        leftTable.schema,
        rightTable.schema,
        run.settings
      )
      val results = task.results(stock, Seq(leftTable, rightTable), groups)
      new StructColumns(results, width, None, run.settings.evalType, task.context)
    }
}
