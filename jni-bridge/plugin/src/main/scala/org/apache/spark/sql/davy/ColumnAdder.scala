package org.apache.spark.sql.davy

import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * Adds columns to a batch, a column at a time, and ends it at the row at which Spark would, which looks
 * at the bytes of the columns that count after each row.
 *
 * Where bytes can end the batch, text is copied first, until it alone has them; numbers as far as text
 * went; nested values, whose bytes only their vector knows, row by row. Then the sizes are looked at row
 * by row, if the limit was reached at all, and what was copied behind the end is forgotten.
 */
private[davy] final class ColumnAdder(
    shape: BatchShape,
    writers: Array[ColumnWriter],
    limits: BatchLimits
) {
  private val places = shape.arguments.distinct
  private val counted = shape.arguments.map(writers)
  private val others = writers.indices.filterNot(places.contains(_)).toArray
  private val (texts, numbers, nested) = {
    val (fixed, varied) = places.partition(writers(_).fixed)
    val (texts, nested) = varied.partition(writers(_).isInstanceOf[VariableWriter])
    (texts, fixed, nested)
  }

  /** Whether all rows have the same bytes, those of columns that do not count too. */
  val even: Boolean = writers.forall(_.fixed)

  // However small the values are, a batch has no more rows.
  private lazy val mostRows =
    limits.firstToReach(n => shape.wrapping(n) + counted.map(_.sizeAtLeast(n)).sum)

  /**
   * @param at rows that the batch has, fewer than would end it
   * @param byRow whether bytes can end it
   */
  def add(columns: ColumnarBatch, from: Int, rows: Int, at: Int, byRow: Boolean): Int = {
    def copy(places: Array[Int], rows: Int): Unit =
      places.foreach(i => writers(i).copy(columns.column(i), from, rows, at))
    if (!byRow) {
      copy(writers.indices.toArray, rows)
      rows
    } else {
      val some = if (nested.isEmpty) rows else math.min(rows, ColumnAdder.NestedAtOnce)
      val copied = texts.foldLeft(math.min(some, mostRows - at)) { (n, i) =>
        val writer = writers(i).asInstanceOf[VariableWriter]
        writer.copyUntil(columns.column(i), from, n, at, limits.bytes)
      }
      copy(numbers, copied)
      val added =
        if (nested.isEmpty && sum(at + copied, _.sizeAtMost(_)) < limits.bytes) copied
        else untilEnd(columns, from, copied, at)
      places.foreach(i => if (!nested.contains(i)) writers(i).truncate(at + added))
      copy(others, added)
      added
    }
  }

  /** Rows of `copied` up to the one that ends the batch. */
  private def untilEnd(columns: ColumnarBatch, from: Int, copied: Int, at: Int): Int = {
    var n = 0
    var goesOn = true
    while (goesOn && n < copied) {
      nested.foreach(i => writers(i).copy(columns.column(i), from + n, 1, at + n))
      n += 1
      goesOn = sum(at + n, _.sizeUpTo(_)) < limits.bytes
    }
    n
  }

  private def sum(rows: Int, size: (ColumnWriter, Int) => Long): Long = {
    var total = shape.wrapping(rows)
    var i = 0
    while (i < counted.length) {
      total += size(counted(i), rows)
      i += 1
    }
    total
  }
}

private[davy] object ColumnAdder {

  /** Rows whose other columns are copied before the nested ones say that the batch has ended. */
  private val NestedAtOnce = 256
}
