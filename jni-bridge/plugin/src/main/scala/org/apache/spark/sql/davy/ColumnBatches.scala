package org.apache.spark.sql.davy

import org.apache.arrow.memory.BufferAllocator
import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.execution.SparkPlan
import org.apache.spark.sql.vectorized.ColumnarBatch

/** Columns → Arrow vectors, a column at a time: no row is made. See [[ColumnAdder]]. */
private[davy] final class ColumnBatches(
    columns: Iterator[ColumnarBatch],
    shape: BatchShape,
    limits: BatchLimits,
    allocator: BufferAllocator,
    together: Boolean
) extends Iterator[InputBatch] {
  // Valid until the next one is asked for.
  private var current: ColumnarBatch = _
  private var at = 0

  override def hasNext: Boolean = {
    while ((current == null || at == current.numRows) && columns.hasNext) {
      current = columns.next()
      at = 0
    }
    current != null && at < current.numRows
  }

  override def next(): InputBatch = {
    if (!hasNext) throw new NoSuchElementException
    val filler = BatchFiller(shape, limits, allocator, together)
    try {
      do at += filler.add(current, at, current.numRows - at)
      while (!filler.ended && hasNext)
      filler.finish()
    } catch {
      case e: Throwable =>
        filler.close()
        throw e
    }
  }
}

private[davy] object ColumnBatches {

  /** Whether the child's columns can be taken as they are. */
  def serve(child: SparkPlan, stage: Gathering): Boolean =
    child.supportsColumnar && stage.computed.isEmpty &&
      child.output.forall(column => ArrowSchemas.holds(column.dataType))

  def of(child: SparkPlan, stage: Gathering): RDD[InputBatch] =
    child.executeColumnar().mapPartitionsInternal { columns =>
      val allocator = BatchMemory.allocator(TaskContext.get())
      new ColumnBatches(columns, stage.shape, stage.limits, allocator, stage.together)
    }
}
