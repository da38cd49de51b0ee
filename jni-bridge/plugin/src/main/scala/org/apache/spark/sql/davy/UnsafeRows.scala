package org.apache.spark.sql.davy

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.types._
import org.apache.spark.sql.vectorized.{ArrowColumnVector, ColumnarBatch}
import org.apache.spark.unsafe.Platform

/**
 * Rows of columns in Spark's unsafe format: for each row a bit a column that tells nulls, in words of 8
 * bytes, then 8 bytes a column, then the bytes of text and binary values, each padded to words. They are
 * written into a block of many rows, a column at a time.
 *
 * A row is valid until the next one is asked for.
 *
 * @param wanted columns of the child, in the order of a row's fields
 * @param wrote gets the nanoseconds that each block took
 */
private[davy] final class UnsafeRows(
    batches: Iterator[ColumnarBatch],
    wanted: Seq[NamedExpression],
    child: Seq[Attribute],
    partition: Int,
    wrote: Long => Unit
) extends Iterator[InternalRow] {
  import UnsafeRows._

  private val places = wanted.map { column =>
    val id = column match {
      case Alias(of: Attribute, _) => of.exprId
      case plain                   => plain.exprId
    }
    child.indexWhere(_.exprId == id)
  }.toArray
  private val words = UnsafeRow.calculateBitSetWidthInBytes(places.length)
  private val fixed = words + 8 * places.length
  // Of rows that have nothing behind the fields.
  private val evenRows = math.min(Rows, Bytes / math.max(fixed, 1))
  private val row = new UnsafeRow(places.length)
  private val block = new RowBlock(Rows, Bytes)
  private val (bytes, starts) = (block.bytes, block.starts)
  private val sizes = new Array[Int](Rows)

  private var batch: ColumnarBatch = _
  private var columns: Array[RowField] = _
  private var (blocks, even) = (false, false)
  private var expected = Rows
  private var (rows, begin, end, at) = (0, 0, 0, 0)

  // What Spark computes, for values of a kind or a size that a block is not for.
  private lazy val oneByOne = {
    val projection = UnsafeProjection.create(wanted, child)
    projection.initialize(partition)
    projection
  }

  override def hasNext: Boolean = {
    while (at == rows && batches.hasNext) {
      batch = batches.next()
      columns = places.zip(wanted).map { case (place, of) =>
        val column = batch.column(place).asInstanceOf[ArrowColumnVector]
        // Functions may give other types than they said: Spark's projection has the words for it.
        if (alike(column.dataType, of.dataType)) RowField.of(column.getValueVector, of.nullable)
        else null
      }
      blocks = !columns.contains(null)
      val wereEven = even
      even = blocks && !columns.exists(_.isInstanceOf[BytesField])
      if (even && !wereEven) (0 to evenRows).foreach(i => starts(i) = i * fixed)
      rows = batch.numRows
      end = 0
      at = 0
    }
    at < rows
  }

  override def next(): InternalRow = {
    if (at == end) {
      if (!hasNext) throw new NoSuchElementException
      val began = System.nanoTime()
      fill()
      wrote(System.nanoTime() - began)
    }
    at += 1
    if (at > end) {
      end = at
      oneByOne(batch.getRow(at - 1))
    } else {
      val i = at - 1 - begin
      val start = starts(i)
      row.pointTo(bytes, Platform.BYTE_ARRAY_OFFSET.toLong + start, starts(i + 1) - start)
      row
    }
  }

  /** Writes the next rows, none if the next one is not for a block. */
  private def fill(): Unit = {
    begin = at
    end = at
    if (blocks) {
      columns.foreach(_.check(rows))
      val left = rows - begin
      val count = if (even) math.min(left, evenRows) else measure(math.min(left, expected))
      // Of long rows, no more are measured than fit, about.
      expected = math.min(Rows, 2 * count + 1)
      block.begin = begin
      block.count = count
      if (count > 0) write(count)
      end = begin + count
    }
  }

  /** @return how many of the next rows fit, once `starts` has where each begins */
  private def measure(most: Int): Int = {
    java.util.Arrays.fill(sizes, 0, most, fixed)
    columns.foreach(_.measure(begin, most, sizes))
    var count = 0
    while (count < most && starts(count).toLong + sizes(count) <= Bytes) {
      starts(count + 1) = starts(count) + sizes(count)
      count += 1
    }
    count
  }

  private def write(count: Int): Unit = {
    var word = 0
    while (word < words) {
      var i = 0
      while (i < count) {
        Platform.putLong(bytes, Platform.BYTE_ARRAY_OFFSET.toLong + starts(i) + word, 0)
        i += 1
      }
      word += 8
    }
    if (!even) {
      var i = 0
      while (i < count) {
        block.cursors(i) = starts(i) + fixed
        i += 1
      }
    }
    var field = 0
    while (field < columns.length) {
      columns(field).write(block, field, words)
      field += 1
    }
  }
}

private[davy] object UnsafeRows {

  private def alike(actual: DataType, said: DataType): Boolean = (actual, said) match {
    case (_: StringType, _: StringType)                       => true
    case (_: YearMonthIntervalType, _: YearMonthIntervalType) => true
    case _                                                    => actual == said
  }

  /** Of a block: small enough for the processor's cache. */
  private val Rows = 4096
  private val Bytes = 64 << 10

  /** Of these, [[RowField]] knows the vectors. */
  def serves(kind: DataType): Boolean = kind match {
    case BooleanType | ByteType | ShortType | IntegerType | LongType | FloatType | DoubleType =>
      true
    case DateType | TimestampType | TimestampNTZType | _: YearMonthIntervalType => true
    case _: StringType | BinaryType                                             => true
    case _                                                                      => false
  }
}
