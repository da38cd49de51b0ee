package org.apache.spark.sql.davy

import java.util.concurrent.ConcurrentLinkedQueue
import scala.jdk.CollectionConverters._

import davy.DavyException
import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.ValueVector
import org.apache.spark.TaskContext
import org.apache.spark.sql.types.DataType
import org.apache.spark.sql.vectorized.{ColumnVector, ColumnarBatch}

/**
 * Columns of the input beside those of the results, row by row. A function of iterators may cut its
 * results elsewhere than its input was cut: then both are sliced.
 *
 * A batch is valid until the next one is asked for.
 *
 * @param compute begins the run
 * @param sent the input, in the order in which the guest got it
 * @param own columns of the input that are kept
 * @param ofColumns whether Spark's node would take columns, too
 */
private[davy] final class JoinedBatches(
    compute: => Iterator[OutputBatch],
    sent: ConcurrentLinkedQueue[InputBatch],
    own: Int,
    types: Seq[DataType],
    allocator: BufferAllocator,
    context: TaskContext,
    ofColumns: Boolean
) extends Iterator[ColumnarBatch] {

  private lazy val results = compute
  private var input: InputBatch = _
  private var inputAt = 0
  private var result: OutputBatch = _
  private var resultAt = 0
  private var slices: Seq[ValueVector] = Nil

  // Listeners run in reverse: before the allocator closes, which was registered earlier, and after
  // the runner, which begins later, has taken back what the guest could still read.
  context.addTaskCompletionListener[Unit] { _ =>
    closeSlices()
    if (result != null) result.close()
    if (input != null) input.close()
    sent.iterator.asScala.foreach(_.close())
    sent.clear()
  }

  override def hasNext: Boolean = {
    while ((result == null || resultAt == result.rows) && results.hasNext) {
      closeSlices()
      if (result != null) result.close()
      result = results.next()
      resultAt = 0
      OutputTypes.check(types, result)
    }
    result != null && resultAt < result.rows
  }

  override def next(): ColumnarBatch = {
    if (!hasNext) throw new NoSuchElementException
    closeSlices()
    while (input == null || inputAt == input.rows) {
      if (input != null) input.close()
      input = sent.poll()
      inputAt = 0
      if (input == null) throw DavyException.guest("it gave more rows than it was given")
    }
    val n = math.min(input.rows - inputAt, result.rows - resultAt)
    val columns: Array[ColumnVector] =
      if (n == input.rows && n == result.rows)
        input.columns.take(own).map(InPlaceColumn.of(_)) ++ result.columns
      else
        input.columns.take(own).map(v => slice(v, inputAt, n)) ++
          result.columns.map(c => slice(c.getValueVector, resultAt, n))
    inputAt += n
    resultAt += n
    if (ofColumns) new ColumnsOfColumns(columns, n, input.kept) else new ColumnarBatch(columns, n)
  }

  private def slice(vector: ValueVector, from: Int, rows: Int): ColumnVector = {
    val pair = vector.getTransferPair(allocator)
    pair.splitAndTransfer(from, rows)
    slices = slices :+ pair.getTo
    InPlaceColumn.of(pair.getTo)
  }

  private def closeSlices(): Unit = {
    slices.foreach(_.close())
    slices = Nil
  }
}
