package org.apache.spark.sql.davy

import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.execution._
import org.apache.spark.sql.execution.metric.{SQLMetric, SQLMetrics}
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * Rows of columns, for a parent that takes rows as they are: a writer, a shuffle, `collect`. Spark's own
 * node computes one row after the other, in code compiled for a parent that computes; this one writes
 * blocks of rows, see [[UnsafeRows]].
 *
 * @param columns columns of the child and what they are called
 */
case class DavyColumnarToRowExec(columns: Seq[NamedExpression], child: SparkPlan)
    extends PartitioningPreservingUnaryExecNode
    with OrderPreservingUnaryExecNode {

  override def output: Seq[Attribute] = columns.map(_.toAttribute)
  override protected def outputExpressions: Seq[NamedExpression] = columns
  override protected def orderingExpressions: Seq[SortOrder] = child.outputOrdering

  // The first two are those of Spark's node.
  override lazy val metrics: Map[String, SQLMetric] = Map(
    "numOutputRows" -> SQLMetrics.createMetric(sparkContext, "number of output rows"),
    "numInputBatches" -> SQLMetrics.createMetric(sparkContext, "number of input batches"),
    "davyWrite" -> SQLMetrics
      .createNanoTimingMetric(sparkContext, "time to write rows of batches")
  )

  override protected def doExecute(): RDD[InternalRow] = {
    val (rows, batches) = (longMetric("numOutputRows"), longMetric("numInputBatches"))
    val write = longMetric("davyWrite")
    val (wanted, output) = (columns, child.output)
    child.executeColumnar().mapPartitionsInternal { partition =>
      val counted = partition.map { (batch: ColumnarBatch) =>
        batches += 1
        rows += batch.numRows
        batch
      }
      new UnsafeRows(counted, wanted, output, TaskContext.getPartitionId(), write += _)
    }
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    copy(child = newChild)
}

private[davy] object DavyColumnarToRowExec {

  /** Puts it where Spark's node gives rows to a parent that computes nothing. */
  def insert(plan: SparkPlan): SparkPlan = plan match {
    case Rows(columns, child) => DavyColumnarToRowExec(columns, insert(child))
    case other                => below(other)
  }

  private def below(plan: SparkPlan): SparkPlan = plan match {
    // Compiled together with what is below: there, rows are never made.
    case _: CodegenSupport | _: BatchPythonExec => plan.mapChildren(below)
    case other                                  => other.mapChildren(insert)
  }

  /** Columns of one of Davy's nodes, renamed or left out perhaps, as rows. */
  private object Rows {
    def unapply(plan: SparkPlan): Option[(Seq[NamedExpression], SparkPlan)] = (plan match {
      case ProjectExec(columns, ColumnarToRowExec(child)) => Some((columns, child))
      case ColumnarToRowExec(child)                       => Some((child.output, child))
      case _                                              => None
    }).filter { case (columns, child) =>
      child.isInstanceOf[ColumnarPythonExec] && columns.forall(serves)
    }
  }

  private def serves(column: NamedExpression): Boolean = UnsafeRows.serves(column.dataType) && {
    column match {
      case _: Attribute           => true
      case Alias(_: Attribute, _) => true
      case _                      => false
    }
  }
}
