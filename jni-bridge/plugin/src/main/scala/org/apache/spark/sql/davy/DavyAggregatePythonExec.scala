package org.apache.spark.sql.davy

import java.util.concurrent.ConcurrentLinkedQueue

import davy.DavyException
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.plans.physical._
import org.apache.spark.sql.execution.{GroupedIterator, SparkPlan, UnaryExecNode}

/**
 * Aggregates in pandas and Arrow through linear memory. A group's result is one row.
 *
 * @param clusters whether the node brings the rows of each group together itself; else the child's are
 *   sorted
 */
case class DavyAggregatePythonExec(
    grouping: Seq[NamedExpression],
    aggregates: Seq[AggregateExpression],
    results: Seq[NamedExpression],
    child: SparkPlan,
    clusters: Boolean,
    settings: StockSettings
) extends UnaryExecNode
    with BatchPythonExec {

  override def output: Seq[Attribute] = results.map(_.toAttribute)
  override def producedAttributes: AttributeSet =
    AttributeSet(output ++ aggregates.map(_.resultAttribute))
  override def outputPartitioning: Partitioning = child.outputPartitioning
  override def requiredChildDistribution: Seq[Distribution] = Seq(Groups.distribution(grouping))
  override def requiredChildOrdering: Seq[Seq[SortOrder]] =
    Seq(if (clusters) Nil else Groups.ordering(grouping))
  override def functions: Seq[Expression] = aggregates.map(_.aggregateFunction)
  override def evalType: Int = settings.evalType

  override protected def doExecute(): RDD[InternalRow] = {
    val stage = AggregateStage(
      grouping,
      AggregateCall.of(aggregates),
      results,
      grouping.map(_.toAttribute) ++ aggregates.map(_.resultAttribute),
      child.output,
      GroupedRun(settings.copy(metrics = pythonMetrics), limits, ColumnMetrics(metrics))
    )
    if (clusters) {
      val (sort, places) = (Groups.sort(grouping, child), stage.places)
      val clustering =
        Clustering(sort, places.computed, places.all, struct = false, settings.timeZone)
      GatherExec.batches(child, clustering).mapPartitionsInternal(stage.cluster(clustering))
    } else ChildRows.of(child).mapPartitionsInternal(stage.run)
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    copy(child = newChild)
}

/** What the tasks of the node do. */
private[davy] final case class AggregateStage(
    grouping: Seq[NamedExpression],
    call: AggregateCall,
    results: Seq[NamedExpression],
    joined: Seq[Attribute],
    childOutput: Seq[Attribute],
    run: GroupedRun
) {
  def places: ArgumentPlaces = ArgumentPlaces(call.inputs, childOutput)

  /** @param rows sorted by the keys */
  def run(rows: Iterator[InternalRow]): Iterator[InternalRow] =
    if (rows.isEmpty) Iterator.empty
    else {
      val arguments = UnsafeProjection.create(call.inputs, childOutput)
      // Keys of groups whose result is not there yet: as many as the channel and its batches hold.
      val keys = new ConcurrentLinkedQueue[InternalRow]
      val all =
        if (grouping.isEmpty) Iterator((InternalRow.empty, rows))
        else GroupedIterator(rows, grouping, childOutput)
      val groups = all.map { case (key, group) =>
        keys.add(key.copy())
        group.map(arguments(_): InternalRow)
      }
      compute(run.begin(), _.groups(groups), () => Option(keys.poll()))
    }

  /** @param batches of rows in any order */
  def cluster(clustering: Clustering)(batches: Iterator[InputBatch]): Iterator[InternalRow] = {
    val task = run.begin()
    task.cluster(clustering, batches) match {
      case SortedRows(rows)                       => run(rows)
      case clusters: Clusters if clusters.isEmpty => Iterator.empty
      case clusters: Clusters                     =>
        val keys = clusters.keys.iterator
        compute(task, _ => clusters.packs, () => keys.nextOption())
    }
  }

  private def compute(
      task: GroupedTask,
      groups: GroupTable => Iterator[Input],
      nextKey: () => Option[InternalRow]
  ): Iterator[InternalRow] = {
    val table = task.table(call.schema, struct = false)
    val stock = StockRunner.scalar(call.funcs, call.arguments, call.schema, run.settings)
    val finish = UnsafeProjection.create(results, joined)
    val pair = new JoinedRow
    new OutputRows(task.results(stock, Seq(table), groups(table)), task.context).map { aggregated =>
      nextKey() match {
        case Some(key) => finish(pair(key, aggregated))
        case None      => throw DavyException.guest("it gave more results than it has groups")
      }
    }
  }
}
