package org.apache.spark.sql.davy

import org.apache.arrow.memory.BufferAllocator
import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.execution.SparkPlan
import org.apache.spark.sql.types._
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * Columns → Arrow vectors, a column at a time, for children that have columns of numbers. Spark cuts
 * such batches after a number of rows that is known before.
 */
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
      while (filler.room > 0 && hasNext) {
        val rows = math.min(filler.room, current.numRows - at)
        filler.add(current, at, rows)
        at += rows
      }
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
    child.supportsColumnar && stage.computed.isEmpty && child.output.forall(a =>
      isNumber(a.dataType)
    )

  def of(child: SparkPlan, stage: Gathering): RDD[InputBatch] =
    child.executeColumnar().mapPartitionsInternal { columns =>
      val allocator = ArrowSchemas.allocator(TaskContext.get())
      new ColumnBatches(columns, stage.shape, stage.limits, allocator, stage.together)
    }

  private def isNumber(kind: DataType): Boolean = kind match {
    case ByteType | ShortType | IntegerType | LongType | FloatType | DoubleType | DateType |
        TimestampType | TimestampNTZType =>
      true
    case _ => false
  }
}
