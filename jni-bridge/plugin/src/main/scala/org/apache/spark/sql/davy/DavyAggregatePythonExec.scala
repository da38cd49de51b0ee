package org.apache.spark.sql.davy

import java.util.ArrayDeque
import scala.collection.mutable.ArrayBuffer
import scala.jdk.CollectionConverters._

import davy.DavyException
import org.apache.spark.TaskContext
import org.apache.spark.api.python.ChainedPythonFunctions
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.plans.physical._
import org.apache.spark.sql.execution.{GroupedIterator, SparkPlan, UnaryExecNode}
import org.apache.spark.sql.execution.python.EvalPythonExec.ArgumentMetadata
import org.apache.spark.sql.types.{StructField, StructType}
import org.apache.spark.sql.vectorized.{ColumnVector, ColumnarBatch}

/** Aggregates in pandas and Arrow through linear memory. A group's result is one row. */
case class DavyAggregatePythonExec(
    grouping: Seq[NamedExpression],
    aggregates: Seq[AggregateExpression],
    results: Seq[NamedExpression],
    child: SparkPlan,
    settings: StockSettings
) extends UnaryExecNode
    with BatchPythonExec {

  override def output: Seq[Attribute] = results.map(_.toAttribute)
  override def producedAttributes: AttributeSet =
    AttributeSet(output ++ aggregates.map(_.resultAttribute))
  override def outputPartitioning: Partitioning = child.outputPartitioning
  override def requiredChildDistribution: Seq[Distribution] = Seq(Groups.distribution(grouping))
  override def requiredChildOrdering: Seq[Seq[SortOrder]] = Seq(Groups.ordering(grouping))
  override def functions: Seq[Expression] = aggregates.map(_.aggregateFunction)
  override def evalType: Int = settings.evalType

  override protected def doExecute(): RDD[InternalRow] = {
    val stage = AggregateStage(
      grouping,
      AggregateCall(aggregates),
      results,
      grouping.map(_.toAttribute) ++ aggregates.map(_.resultAttribute),
      child.output,
      GroupedRun(settings.copy(metrics = pythonMetrics), limits, ColumnMetrics(metrics))
    )
    rowsOf(child).mapPartitionsInternal(stage.run)
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
  def run(rows: Iterator[InternalRow]): Iterator[InternalRow] =
    if (rows.isEmpty) Iterator.empty
    else {
      val task = run.begin()
      val table = task.table(call.schema, struct = false)
      val arguments = UnsafeProjection.create(call.inputs, childOutput)
      // Keys of groups whose result is not there yet: as many as the channel and its batches hold.
      val keys = new ArrayDeque[InternalRow]
      val all =
        if (grouping.isEmpty) Iterator((InternalRow.empty, rows))
        else GroupedIterator(rows, grouping, childOutput)
      val groups = all.map { case (key, group) =>
        keys.add(key.copy())
        group.map(arguments(_): InternalRow)
      }
      val stock = StockRunner.scalar(call.funcs, call.arguments, call.schema, run.settings)
      val finish = UnsafeProjection.create(results, joined)
      val pair = new JoinedRow
      new AggregatedRows(task.results(stock, Seq(table), table.groups(groups)), task.context).map {
        aggregated =>
          if (keys.isEmpty) throw DavyException.guest("it gave more results than it has groups")
          finish(pair(keys.remove(), aggregated))
      }
    }
}

/** The rows of batches, a batch at a time; a row is valid until the next is asked for. */
private[davy] final class AggregatedRows(batches: Iterator[OutputBatch], context: TaskContext)
    extends Iterator[InternalRow] {
  private var batch: OutputBatch = _
  private var rows: Iterator[InternalRow] = Iterator.empty
  context.addTaskCompletionListener[Unit](_ => close())

  override def hasNext: Boolean = {
    while (!rows.hasNext && batches.hasNext) {
      close()
      batch = batches.next()
      val columns = batch.columns.map(c => c: ColumnVector)
      rows = new ColumnarBatch(columns, batch.rows).rowIterator.asScala
    }
    rows.hasNext
  }

  override def next(): InternalRow = if (hasNext) rows.next() else Iterator.empty.next()

  private def close(): Unit = {
    if (batch != null) batch.close()
    batch = null
  }
}

/** How Spark calls the functions. */
private[davy] final case class AggregateCall(
    funcs: Seq[(ChainedPythonFunctions, Long)],
    inputs: Seq[Expression],
    arguments: Array[Array[ArgumentMetadata]],
    schema: StructType
)

private[davy] object AggregateCall {
  def apply(aggregates: Seq[AggregateExpression]): AggregateCall = {
    val calls = aggregates.map(a => chain(a.aggregateFunction.asInstanceOf[PythonFuncExpression]))
    val inputs = ArrayBuffer[Expression]()
    // Each argument once, in the order of first use.
    val arguments = calls.map { case (_, children) =>
      children.map { child =>
        val (name, value) = child match {
          case NamedArgumentExpression(name, value) => (Some(name), value)
          case plain                                => (None, plain)
        }
        val known = inputs.indexWhere(_.semanticEquals(value))
        if (known < 0) inputs += value
        argument(if (known < 0) inputs.length - 1 else known, name)
      }.toArray
    }.toArray
    val fields = inputs.zipWithIndex.map { case (e, i) => StructField(s"_$i", e.dataType) }
    AggregateCall(calls.map(_._1), inputs.toSeq, arguments, StructType(fields.toSeq))
  }

  /** Newer Spark has one field more: whether it is a table. */
  private def argument(offset: Int, name: Option[String]): ArgumentMetadata = {
    val make = classOf[ArgumentMetadata].getConstructors.head
    val fields = Seq[AnyRef](Int.box(offset), name, Boolean.box(false)).take(make.getParameterCount)
    make.newInstance(fields: _*).asInstanceOf[ArgumentMetadata]
  }

  private def chain(
      func: PythonFuncExpression
  ): ((ChainedPythonFunctions, Long), Seq[Expression]) = func.children match {
    case Seq(inner: PythonFuncExpression) =>
      val ((chained, _), children) = chain(inner)
      ((ChainedPythonFunctions(chained.funcs :+ func.func), func.resultId.id), children)
    case children => ((ChainedPythonFunctions(Seq(func.func)), func.resultId.id), children)
  }
}
