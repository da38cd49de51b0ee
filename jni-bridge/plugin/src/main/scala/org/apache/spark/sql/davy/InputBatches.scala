package org.apache.spark.sql.davy

import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.FieldVector
import org.apache.arrow.vector.types.pojo.Field
import org.apache.spark.sql.catalyst.InternalRow

/** Columns of some rows, in host memory. */
private[davy] final class InputBatch(val columns: Array[FieldVector], val rows: Int) {
  def close(): Unit = columns.foreach(_.close())
}

/**
 * What a batch is made of: columns of the row itself, then those that `extra` computes from it.
 *
 * @param fields of all columns
 * @param own number of columns that the row has itself
 * @param arguments those of the columns that the function gets; they count for the limit of bytes
 */
private[davy] final case class BatchShape(fields: Array[Field], own: Int, arguments: Array[Int])

/** Greatest batch; 0 rows is unlimited, and so are `Int.MaxValue` bytes, as in Spark. */
private[davy] final case class BatchLimits(rows: Int, bytes: Long)

/**
 * Rows → Arrow batches, cut where Spark cuts them.
 *
 * @param expected rows that memory is taken for at first
 * @param evenEmpty whether no rows at all are a batch, too
 */
private[davy] final class InputBatches(
    rows: Iterator[InternalRow],
    shape: BatchShape,
    extra: InternalRow => InternalRow,
    limits: BatchLimits,
    allocator: BufferAllocator,
    expected: Int = InputBatches.Usual,
    evenEmpty: Boolean = false
) extends Iterator[InputBatch] {

  private val most = if (limits.rows > 0) limits.rows else Int.MaxValue
  private var none = evenEmpty

  override def hasNext: Boolean = none || rows.hasNext

  override def next(): InputBatch = {
    none = false
    val vectors = new Array[FieldVector](shape.fields.length)
    try fill(vectors)
    catch {
      case e: Throwable =>
        vectors.filter(_ != null).foreach(_.close())
        throw e
    }
  }

  private def fill(vectors: Array[FieldVector]): InputBatch = {
    val writers = vectors.indices.map { i =>
      vectors(i) = shape.fields(i).createVector(allocator)
      ColumnWriter.of(vectors(i), math.min(most, expected))
    }.toArray
    val counted = shape.arguments.map(writers)
    val (bound, byRow) = boundOf(counted)
    val own = shape.own
    var n = 0
    while (n < bound && (!byRow || bytes(counted, n) < limits.bytes) && rows.hasNext) {
      val row = rows.next()
      var i = 0
      while (i < own) {
        writers(i).write(row, i, n)
        i += 1
      }
      if (i < writers.length) {
        val computed = extra(row)
        while (i < writers.length) {
          writers(i).write(computed, i - own, n)
          i += 1
        }
      }
      n += 1
    }
    writers.foreach(_.finish(n))
    new InputBatch(vectors, n)
  }

  /** The bound in rows, and whether bytes must be looked at for each row as well. */
  private def boundOf(counted: Array[ColumnWriter]): (Int, Boolean) =
    if (limits.bytes >= Int.MaxValue) (most, false)
    else if (counted.forall(_.fixedWidth.isDefined)) {
      // The first number of rows that reaches the limit: found by halving, sizes only grow.
      var (below, reaches) = (0, most)
      while (reaches - below > 1) {
        val middle = below + (reaches - below) / 2
        if (bytes(counted, middle) < limits.bytes) below = middle else reaches = middle
      }
      (reaches, false)
    } else (most, true)

  private def bytes(counted: Array[ColumnWriter], rows: Int): Long = {
    var sum = 0L
    var i = 0
    while (i < counted.length) {
      sum += counted(i).sizeInBytes(rows)
      i += 1
    }
    sum
  }
}

private[davy] object InputBatches {

  /** Rows of a batch, unless something better is known. */
  val Usual = 10000
}
