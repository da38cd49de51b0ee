package org.apache.spark.sql.davy

import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.FieldVector
import org.apache.arrow.vector.types.pojo.Field
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * Columns of some rows, in host memory.
 *
 * @param each rows of each batch that Spark would have made of them, but for the last
 * @param kept whether Spark would keep these columns together up to its results, see [[WholeBatches]]
 */
private[davy] final class InputBatch(
    val columns: Array[FieldVector],
    val rows: Int,
    each: Int = Int.MaxValue,
    val kept: Boolean = false
) {

  /** Rows of each batch that Spark would have made of them. */
  def slices: Array[Int] =
    if (rows <= each) Array(rows)
    else Array.tabulate((rows + each - 1) / each)(i => math.min(each, rows - i * each))
  def close(): Unit = columns.foreach(_.close())
}

/**
 * What a batch is made of: columns of the row itself, then those that `extra` computes from it.
 *
 * @param fields of all columns
 * @param own number of columns that the row has itself
 * @param arguments those of the columns that the function gets; they count for the limit of bytes
 * @param struct whether the function gets them as fields of one struct, whose validity counts as well
 */
private[davy] final case class BatchShape(
    fields: Array[Field],
    own: Int,
    arguments: Array[Int],
    struct: Boolean
) {

  /** Bytes that count, of `rows` rows, beside those of the columns. */
  def wrapping(rows: Int): Long =
    if (struct && rows > 0) ColumnWriter.bitmapBytes(rows).toLong else 0
}

/** Greatest batch; 0 rows is unlimited, and so are `Int.MaxValue` bytes, as in Spark. */
private[davy] final case class BatchLimits(rows: Int, bytes: Long) {

  /** Rows after which a batch ends if bytes do not end it. */
  def most: Int = if (rows > 0) rows else Int.MaxValue

  /** The first number of rows that reaches a limit: found by halving, sizes only grow. */
  def firstToReach(size: Int => Long): Int = {
    var (below, reaches) = (0, most)
    while (reaches - below > 1) {
      val middle = below + (reaches - below) / 2
      if (size(middle) < bytes) below = middle else reaches = middle
    }
    reaches
  }
}

/**
 * Writes rows into fresh vectors; knows where Spark would end a batch that began at any row.
 *
 * @param together whether several of Spark's batches may become one here, if they are small
 */
private[davy] final class BatchFiller(
    shape: BatchShape,
    extra: InternalRow => InternalRow,
    limits: BatchLimits,
    allocator: BufferAllocator,
    expected: Int,
    together: Boolean = false
) {
  private val vectors = new Array[FieldVector](shape.fields.length)
  private val writers =
    try
      vectors.indices.map { i =>
        vectors(i) = shape.fields(i).createVector(allocator)
        ColumnWriter.of(vectors(i), expected)
      }.toArray
    catch {
      case e: Throwable =>
        close()
        throw e
    }
  private val counted = shape.arguments.map(writers)
  // The bound in rows, and whether bytes must be looked at for each row as well.
  private val (bound, byRow) =
    if (limits.bytes >= Int.MaxValue) (limits.most, false)
    else if (counted.forall(_.fixed))
      (limits.firstToReach(rows => shape.wrapping(rows) + sum(_.sizeInBytes(rows))), false)
    else (limits.most, true)
  // Rows of as many of Spark's batches as may go together.
  private val most =
    if (together && !byRow)
      bound * math.min(math.max(BatchFiller.Together / bound, 1), BatchFiller.Most)
    else bound
  private val begun = System.nanoTime()
  private var n = 0

  /** Rows so far. */
  def rows: Int = n

  /** For code that writes row `rows` itself, a value in each column, and says so with [[added]]. */
  def column(i: Int): ColumnWriter = writers(i)

  /** One row more; whether the batch ends with it. */
  def added(): Boolean = {
    n += 1
    ended
  }

  /** Whether the batch ends where it is now. */
  def ended: Boolean =
    n >= most || byRow && sizeSince(0, null) >= limits.bytes ||
      most > bound && n % bound == 0 && (bytes >= PackedGroups.Enough || late)

  /** Nobody waits long for the first of the batches that go together. */
  private def late: Boolean = System.nanoTime() - begun > BatchFiller.Patience

  private lazy val adder = new ColumnAdder(shape, writers, limits)

  /**
   * Adds rows of columns, at most `rows` of them and not all that there are, perhaps; answers how many.
   * It is to be asked again while the batch has not [[ended]].
   */
  def add(columns: ColumnarBatch, from: Int, rows: Int): Int = {
    // What goes together may end after each of Spark's batches, as soon as it is large.
    val step = if (most > bound && !adder.even) bound - n % bound else most - n
    val added = adder.add(columns, from, math.min(rows, step), n, byRow)
    n += added
    added
  }

  /** Adds all rows of columns, wherever Spark would end a batch of rows. */
  def addWhole(columns: ColumnarBatch): Unit = {
    val rows = columns.numRows
    (0 until shape.own).foreach(i => writers(i).copy(columns.column(i), 0, rows, n))
    if (writers.length > shape.own) (0 until rows).foreach { row =>
      val computed = extra(columns.getRow(row))
      (shape.own until writers.length).foreach(i =>
        writers(i).write(computed, i - shape.own, n + row)
      )
    }
    n += rows
  }

  /** Bytes so far, of the columns that count. */
  def bytes: Long = sum(_.sizeInBytes(n))

  /** Adds rows until Spark's batch of these would end; answers how many. */
  def add(rows: Iterator[InternalRow]): Int = {
    val from = n
    val before = if (byRow && from > 0) counted.map(_.mark(from)) else null
    while (n - from < bound && (!byRow || sizeSince(from, before) < limits.bytes) && rows.hasNext)
      write(rows.next())
    n - from
  }

  def finish(): InputBatch = finish(bound, kept = false)

  /** As one of Spark's batches, see [[addWhole]]. */
  def finishWhole(kept: Boolean): InputBatch = finish(Int.MaxValue, kept)

  private def finish(each: Int, kept: Boolean): InputBatch = {
    writers.foreach(_.finish(n))
    new InputBatch(vectors, n, each, kept)
  }

  def close(): Unit = vectors.filter(_ != null).foreach(_.close())

  private def write(row: InternalRow): Unit = {
    val own = shape.own
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

  private def sizeSince(from: Int, before: Array[Long]): Long =
    if (before == null) shape.wrapping(n) + sum(_.sizeInBytes(n))
    else {
      var total = shape.wrapping(n - from)
      var i = 0
      while (i < counted.length) {
        total += counted(i).sizeInBytes(n, from, before(i))
        i += 1
      }
      total
    }

  private def sum(size: ColumnWriter => Long): Long = {
    var total = 0L
    var i = 0
    while (i < counted.length) {
      total += size(counted(i))
      i += 1
    }
    total
  }
}

/**
 * Rows → Arrow batches, cut where Spark cuts them.
 *
 * @param expected rows that memory is taken for at first
 * @param evenEmpty whether no rows at all are a batch, too
 * @param together whether several of Spark's batches may become one here, if they are small
 */
private[davy] final class InputBatches(
    rows: Iterator[InternalRow],
    shape: BatchShape,
    extra: InternalRow => InternalRow,
    limits: BatchLimits,
    allocator: BufferAllocator,
    expected: Int = InputBatches.Usual,
    evenEmpty: Boolean = false,
    together: Boolean = false
) extends Iterator[InputBatch] {

  private var none = evenEmpty

  override def hasNext: Boolean = none || rows.hasNext

  override def next(): InputBatch = {
    none = false
    val first = BatchFiller.expected(limits, expected, together)
    val filler = new BatchFiller(shape, extra, limits, allocator, first, together)
    try {
      filler.add(rows)
      while (together && !filler.ended && rows.hasNext) filler.add(rows)
      filler.finish()
    } catch {
      case e: Throwable =>
        filler.close()
        throw e
    }
  }
}

private[davy] object BatchFiller {

  /** Rows of small batches that go together, and batches, at most. */
  private val Together = 10000
  private val Most = 1000

  /** Nanoseconds after which they go, however few they are. */
  private val Patience = 20000000L

  /** One that begins with memory for as many rows as batches usually have. */
  def apply(
      shape: BatchShape,
      limits: BatchLimits,
      allocator: BufferAllocator,
      together: Boolean = false
  ): BatchFiller = {
    val rows = expected(limits, InputBatches.Usual, together)
    new BatchFiller(shape, identity, limits, allocator, rows, together)
  }

  def expected(limits: BatchLimits, rows: Int, together: Boolean): Int = {
    val one = if (limits.rows > 0) math.min(limits.rows, rows) else rows
    if (together) math.max(one, Together) else one
  }
}

private[davy] object InputBatches {

  /** Rows of a batch, unless something better is known. */
  val Usual = 10000
}
