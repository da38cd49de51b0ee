package org.apache.spark.sql.davy

import org.apache.arrow.vector._
import org.apache.spark.unsafe.Platform

/** Rows of Spark's unsafe format, one behind the other; see [[UnsafeRows]]. */
private[davy] final class RowBlock(rows: Int, size: Int) {
  val bytes = new Array[Byte](size)

  /** Row `i` of the block begins here, and the one before ends. */
  val starts = new Array[Int](rows + 1)

  /** Where the next bytes of text or binary of row `i` go. */
  val cursors = new Array[Int](rows)

  /** The batch's row that is the first here, and how many are. */
  var begin, count = 0
}

/** A column that is written into rows. What its buffers hold was validated when the batch came. */
private[davy] abstract class RowField(vector: FieldVector) {
  private val hasNulls = vector.getNullCount > 0
  private val validity = vector.getValidityBuffer.memoryAddress()

  /** Vectors that were closed have no rows. */
  final def check(end: Int): Unit =
    if (vector.getValueCount < end)
      throw new IndexOutOfBoundsException(s"row ${end - 1} of ${vector.getValueCount}")

  /** Adds to each row's size what the values take outside of the fixed part. */
  def measure(begin: Int, count: Int, sizes: Array[Int]): Unit = ()

  /** Writes the field of all rows; `words` bytes of a row are its bits for nulls, 0 so far. */
  final def write(block: RowBlock, field: Int, words: Int): Unit = {
    val (begin, count, bytes, starts) = (block.begin, block.count, block.bytes, block.starts)
    val slot = Platform.BYTE_ARRAY_OFFSET.toLong + words + 8L * field
    values(block, slot)
    if (hasNulls) {
      val bits = Platform.BYTE_ARRAY_OFFSET.toLong + 8L * (field >> 6)
      var i = 0
      while (i < count) {
        if (isNull(begin + i)) {
          val word = bits + starts(i)
          Platform.putLong(bytes, word, Platform.getLong(bytes, word) | 1L << (field & 63))
          Platform.putLong(bytes, slot + starts(i), 0)
        }
        i += 1
      }
    }
  }

  /** Writes the value of row `begin + i` to `starts(i) + slot`, of a null anything. */
  protected def values(block: RowBlock, slot: Long): Unit

  protected final def isNull(row: Int): Boolean =
    hasNulls && (Platform.getByte(null, validity + (row >> 3)) >> (row & 7) & 1) == 0
}

private[davy] object RowField {

  /** Null for a vector of another kind, and for nulls where Spark believes that there are none. */
  def of(vector: ValueVector, nullable: Boolean): RowField =
    if (!nullable && vector.getNullCount > 0) null
    else
      vector match {
        case v: BitVector              => new BooleanField(v)
        case v: TinyIntVector          => new ByteField(v)
        case v: SmallIntVector         => new ShortField(v)
        case v: IntVector              => new IntField(v)
        case v: DateDayVector          => new IntField(v)
        case v: IntervalYearVector     => new IntField(v)
        case v: Float4Vector           => new IntField(v)
        case v: BigIntVector           => new LongField(v)
        case v: TimeStampMicroTZVector => new LongField(v)
        case v: TimeStampMicroVector   => new LongField(v)
        case v: Float8Vector           => new LongField(v)
        case v: VarCharVector          => new BytesField(v)
        case v: VarBinaryVector        => new BytesField(v)
        case _                         => null
      }
}

/**
 * Values that fill the 8 bytes of a field from its low end, the rest being 0. Each width has a loop of
 * its own: a call for each value would cost more than all else that is done with it.
 */
private abstract class WordField(v: BaseFixedWidthVector) extends RowField(v) {
  protected final val from = v.getDataBufferAddress
}

private final class BooleanField(v: BitVector) extends WordField(v) {
  override protected def values(block: RowBlock, slot: Long): Unit = {
    val (begin, count, bytes, starts) = (block.begin, block.count, block.bytes, block.starts)
    var i = 0
    while (i < count) {
      val row = begin + i
      val bit = Platform.getByte(null, from + (row >> 3)) >> (row & 7) & 1
      Platform.putLong(bytes, slot + starts(i), bit)
      i += 1
    }
  }
}

private final class ByteField(v: TinyIntVector) extends WordField(v) {
  override protected def values(block: RowBlock, slot: Long): Unit = {
    val (begin, count, bytes, starts) = (block.begin, block.count, block.bytes, block.starts)
    var i = 0
    while (i < count) {
      Platform.putLong(bytes, slot + starts(i), Platform.getByte(null, from + begin + i) & 0xffL)
      i += 1
    }
  }
}

private final class ShortField(v: SmallIntVector) extends WordField(v) {
  override protected def values(block: RowBlock, slot: Long): Unit = {
    val (begin, count, bytes, starts) = (block.begin, block.count, block.bytes, block.starts)
    var i = 0
    while (i < count) {
      val value = Platform.getShort(null, from + 2L * (begin + i)) & 0xffffL
      Platform.putLong(bytes, slot + starts(i), value)
      i += 1
    }
  }
}

private final class IntField(v: BaseFixedWidthVector) extends WordField(v) {
  override protected def values(block: RowBlock, slot: Long): Unit = {
    val (begin, count, bytes, starts) = (block.begin, block.count, block.bytes, block.starts)
    var i = 0
    while (i < count) {
      val value = Platform.getInt(null, from + 4L * (begin + i)) & 0xffffffffL
      Platform.putLong(bytes, slot + starts(i), value)
      i += 1
    }
  }
}

private final class LongField(v: BaseFixedWidthVector) extends WordField(v) {
  override protected def values(block: RowBlock, slot: Long): Unit = {
    val (begin, count, bytes, starts) = (block.begin, block.count, block.bytes, block.starts)
    var i = 0
    while (i < count) {
      Platform.putLong(bytes, slot + starts(i), Platform.getLong(null, from + 8L * (begin + i)))
      i += 1
    }
  }
}

/** Values of any length: their place in the row and their size, and their bytes behind the fields. */
private[davy] final class BytesField(v: BaseVariableWidthVector) extends RowField(v) {
  private val offsets = v.getOffsetBufferAddress
  private val from = v.getDataBufferAddress
  private val limit = from + v.getDataBuffer.capacity()

  private def offset(row: Int): Int = Platform.getInt(null, offsets + 4L * row)
  private def size(row: Int): Int = if (isNull(row)) 0 else offset(row + 1) - offset(row)

  override def measure(begin: Int, count: Int, sizes: Array[Int]): Unit = {
    var i = 0
    while (i < count) {
      val all = sizes(i).toLong + padded(size(begin + i))
      sizes(i) = math.min(all, Int.MaxValue.toLong).toInt
      i += 1
    }
  }

  private def padded(size: Int): Long = (size + 7L) & ~7L

  override protected def values(block: RowBlock, slot: Long): Unit = {
    val (begin, count, bytes, starts) = (block.begin, block.count, block.bytes, block.starts)
    val cursors = block.cursors
    var i = 0
    while (i < count) {
      val length = size(begin + i)
      val cursor = cursors(i)
      Platform.putLong(bytes, slot + starts(i), (cursor - starts(i)).toLong << 32 | length)
      if (length > 0) {
        copy(from + offset(begin + i), length, bytes, Platform.BYTE_ARRAY_OFFSET.toLong + cursor)
        cursors(i) = cursor + padded(length).toInt
      }
      i += 1
    }
  }

  /** With zeros behind the last byte, up to a word's end. */
  private def copy(source: Long, length: Int, bytes: Array[Byte], target: Long): Unit = {
    val whole = length & ~7
    if (whole > 64) Platform.copyMemory(null, source, bytes, target, whole)
    else {
      var at = 0
      while (at < whole) {
        Platform.putLong(bytes, target + at, Platform.getLong(null, source + at))
        at += 8
      }
    }
    if (whole < length)
      Platform.putLong(bytes, target + whole, tail(source + whole, length - whole))
  }

  /** The last bytes of a value, fewer than 8, in a word. */
  private def tail(source: Long, length: Int): Long =
    if (source + 8 <= limit) Platform.getLong(null, source) & (1L << (8 * length)) - 1
    else {
      var word = 0L
      var at = 0
      while (at < length) {
        word |= (Platform.getByte(null, source + at) & 0xffL) << (8 * at)
        at += 1
      }
      word
    }
}
