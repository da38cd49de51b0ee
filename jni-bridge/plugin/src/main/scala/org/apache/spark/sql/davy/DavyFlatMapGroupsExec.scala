package org.apache.spark.sql.davy

import java.util.concurrent.ConcurrentLinkedQueue
import scala.jdk.CollectionConverters._

import org.apache.arrow.memory.BufferAllocator
import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.plans.physical._
import org.apache.spark.sql.execution.{SortExec, SparkPlan, UnaryExecNode}
import org.apache.spark.sql.execution.python.SparkGroups
import org.apache.spark.sql.types.{StructField, StructType}
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * `applyInPandas` and `applyInArrow` through linear memory.
 *
 * @param struct whether the function gets its columns as the fields of one struct
 * @param clusters whether the node brings the rows of each group together itself; else the child's are
 *   sorted
 */
case class DavyFlatMapGroupsExec(
    func: PythonUDF,
    grouping: Seq[Attribute],
    output: Seq[Attribute],
    child: SparkPlan,
    struct: Boolean,
    clusters: Boolean,
    settings: StockSettings
) extends UnaryExecNode
    with ColumnarPythonExec {

  override def producedAttributes: AttributeSet = AttributeSet(output)
  override def outputPartitioning: Partitioning = child.outputPartitioning
  override def requiredChildDistribution: Seq[Distribution] = Seq(Groups.distribution(grouping))
  override def requiredChildOrdering: Seq[Seq[SortOrder]] =
    Seq(if (clusters) Nil else Groups.ordering(grouping))
  override def functions: Seq[Expression] = Seq(func)
  override def evalType: Int = settings.evalType

  override protected def doExecuteColumnar(): RDD[ColumnarBatch] = {
    val run = GroupedRun(settings.copy(metrics = pythonMetrics), limits, ColumnMetrics(metrics))
    val stage = GroupStage(func, grouping, child.output, output.length, struct, run)
    if (clusters) {
      val sort = Groups.sort(grouping, child)
      val clustering = Clustering(sort, Nil, stage.wanted, struct, settings.timeZone)
      GatherExec.batches(child, clustering).mapPartitionsInternal(stage.cluster(clustering))
    } else ChildRows.of(child).mapPartitionsInternal(stage.run)
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    copy(child = newChild)
}

/** What the tasks of the node do. */
private[davy] final case class GroupStage(
    func: PythonUDF,
    grouping: Seq[Attribute],
    childOutput: Seq[Attribute],
    width: Int,
    struct: Boolean,
    run: GroupedRun
) {
  private lazy val (columns, offsets) = SparkGroups.columns(childOutput, grouping)

  /** The places of what the guest gets. */
  def wanted: Array[Int] = ArgumentPlaces(columns, childOutput).all

  /** @param rows sorted by the keys */
  def run(rows: Iterator[InternalRow]): Iterator[ColumnarBatch] =
    if (rows.isEmpty) Iterator.empty
    else {
      val groups = SparkGroups.of(rows, grouping, childOutput, columns).map(_._2)
      compute(run.begin(), _.groups(groups))
    }

  /** @param batches of rows in any order */
  def cluster(clustering: Clustering)(batches: Iterator[InputBatch]): Iterator[ColumnarBatch] = {
    val task = run.begin()
    task.cluster(clustering, batches) match {
      case SortedRows(rows)   => run(rows)
      case clusters: Clusters =>
        if (clusters.isEmpty) Iterator.empty else compute(task, _ => clusters.packs)
    }
  }

  private def compute(
      task: GroupedTask,
      groups: GroupTable => Iterator[Input]
  ): Iterator[ColumnarBatch] = {
    val table = task.table(Groups.schema(columns), struct)
    val stock = StockRunner.table(func, offsets, table.schema, run.settings)
    val results = task.results(stock, Seq(table), groups(table))
    new StructColumns(results, width, None, run.settings.evalType, task.context)
  }
}

private[davy] object Groups {
  def distribution(grouping: Seq[Expression]): Distribution =
    if (grouping.isEmpty) AllTuples else ClusteredDistribution(grouping)

  def ordering(grouping: Seq[Expression]): Seq[SortOrder] = grouping.map(SortOrder(_, Ascending))

  /** Spark's, of a node's rows. */
  def sort(grouping: Seq[Expression], child: SparkPlan): SortExec =
    SortExec(ordering(grouping), global = false, child)

  def schema(columns: Seq[Attribute]): StructType =
    StructType(columns.map(a => StructField(a.name, a.dataType, a.nullable, a.metadata)))
}

/** What all nodes of groups give to their tasks. */
private[davy] final case class GroupedRun(
    settings: StockSettings,
    limits: BatchLimits,
    metrics: ColumnMetrics
) {
  def begin(): GroupedTask = new GroupedTask(this, TaskContext.get())
}

/** One task of groups: tables in, batches of results out. */
private[davy] final class GroupedTask(run: GroupedRun, val context: TaskContext) {
  private val allocator: BufferAllocator = BatchMemory.allocator(context)
  private val sent = new ConcurrentLinkedQueue[InputBatch]
  context.addTaskCompletionListener[Unit](_ => sent.asScala.foreach(_.close()))

  def table(columns: StructType, struct: Boolean): GroupTable =
    new GroupTable(columns, struct, run.settings, run.limits, allocator)

  def cluster(clustering: Clustering, batches: Iterator[InputBatch]): GroupedRows = {
    val started = System.nanoTime()
    try clustering.run(batches, run.limits, allocator)
    finally run.metrics.gathered(System.nanoTime() - started)
  }

  def results(
      stock: StockRunner,
      tables: Seq[GroupTable],
      groups: Iterator[Input]
  ): Iterator[OutputBatch] = {
    val runner = new BatchRunner(
      stock,
      tables.map(_.wire),
      grouped = true,
      apart = false,
      sent,
      keeps = false,
      allocator,
      run.metrics
    )
    runner.results(groups, context)
  }
}
