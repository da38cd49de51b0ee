package org.apache.spark.sql.davy

import scala.jdk.CollectionConverters._

import org.apache.arrow.memory.BufferAllocator
import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.execution.SparkPlan
import org.apache.spark.sql.vectorized.{ArrowColumnVector, ColumnVector, ColumnarBatch}

/**
 * Columns → Arrow vectors, each batch of the child's as one, however many rows and bytes it has: so does
 * Spark, since 4.2, where a scalar function's child gives columns (`ColumnarArrowEvalPythonEvaluatorFactory`).
 *
 * @param kept whether Spark would join results to the columns without a detour through rows
 */
private[davy] final class WholeBatches(
    columns: Iterator[ColumnarBatch],
    shape: BatchShape,
    extra: InternalRow => InternalRow,
    kept: Boolean,
    allocator: BufferAllocator
) extends Iterator[InputBatch] {
  override def hasNext: Boolean = columns.hasNext

  override def next(): InputBatch = {
    val batch = columns.next()
    val most = BatchLimits(0, Long.MaxValue)
    val filler = new BatchFiller(shape, extra, most, allocator, math.max(batch.numRows, 1))
    try {
      filler.addWhole(batch)
      filler.finishWhole(kept)
    } catch {
      case e: Throwable =>
        filler.close()
        throw e
    }
  }
}

private[davy] object WholeBatches {
  def of(child: SparkPlan, stage: Gathering): RDD[InputBatch] =
    child.executeColumnar().mapPartitionsInternal { columns =>
      val context = TaskContext.get()
      val extra = GatherExec.computing(stage, context)
      val allocator = BatchMemory.allocator(context)
      val batches = columns.filter(_.numRows > 0).buffered
      batches.headOption match {
        case Some(first: ColumnsOfColumns) if !first.kept =>
          // Spark's node below has made rows of its results, and columns of these again.
          val limits = BatchLimits(stage.limits.rows, Int.MaxValue)
          if (stage.computed.isEmpty)
            new ColumnBatches(batches, stage.shape, limits, allocator, stage.together)
          else {
            val rows = batches.flatMap(_.rowIterator.asScala)
            new InputBatches(rows, stage.shape, extra, limits, allocator, together = stage.together)
          }
        case first =>
          // Spark looks at the first column only.
          val ofArrow =
            first.exists(b => b.numCols > 0 && b.column(0).isInstanceOf[ArrowColumnVector])
          val kept = ofArrow && stage.computed.isEmpty
          new WholeBatches(batches, stage.shape, extra, kept, allocator)
      }
    }
}

/**
 * What a node of ours gives where Spark's takes and gives columns.
 *
 * @param kept whether Spark's has the same rows in each batch; otherwise it has batches of
 *   `spark.sql.execution.arrow.maxRecordsPerBatch` rows
 */
private[davy] final class ColumnsOfColumns(
    columns: Array[ColumnVector],
    rows: Int,
    val kept: Boolean
) extends ColumnarBatch(columns, rows)
