package org.apache.spark.sql.davy

import scala.jdk.CollectionConverters._

import org.apache.arrow.vector._
import org.apache.arrow.vector.complex.{ListVector, StructVector}
import org.apache.spark.sql.catalyst.expressions.{GenericInternalRow, SpecializedGetters}
import org.apache.spark.sql.execution.arrow.SparkFieldWriter
import org.apache.spark.sql.vectorized.{ArrowColumnVector, ColumnVector, ColumnarBatchRow}
import org.apache.spark.unsafe.Platform
import org.apache.spark.unsafe.types.UTF8String

/**
 * Writes the values of one column into an Arrow vector. Row `at` is written after row `at - 1`.
 *
 * Numbers, booleans, decimals, dates, times and strings go straight to memory; all else goes through
 * Spark's writers, which cost several calls a value.
 */
private[davy] abstract class ColumnWriter(val vector: FieldVector) {
  def write(row: SpecializedGetters, ordinal: Int, at: Int): Unit

  def putNull(at: Int): Unit

  // The values, as Spark's generated code has them; each column takes those of its own type.
  def putBoolean(value: Boolean, at: Int): Unit = throw wrong
  def putByte(value: Byte, at: Int): Unit = throw wrong
  def putShort(value: Short, at: Int): Unit = throw wrong
  def putInt(value: Int, at: Int): Unit = throw wrong
  def putLong(value: Long, at: Int): Unit = throw wrong
  def putFloat(value: Float, at: Int): Unit = throw wrong
  def putDouble(value: Double, at: Int): Unit = throw wrong
  def put(value: AnyRef, at: Int): Unit = throw wrong

  /** Rows `from` to `from + rows` of a column, to row `at` and after. */
  def copy(column: ColumnVector, from: Int, rows: Int, at: Int): Unit

  /** Forgets the values from row `rows` on: of a column that was copied farther than its batch goes. */
  def truncate(rows: Int): Unit = ()

  private def wrong =
    new IllegalStateException(s"a value of another type for a vector of ${vector.getField}")

  /** Makes the vector one of `rows` values. */
  def finish(rows: Int): Unit

  /** Bytes of the first `rows` values, as Spark counts them for its limit on a batch. */
  def sizeInBytes(rows: Int): Long

  /** The same where more than `rows` values were written. */
  def sizeUpTo(rows: Int): Long = sizeInBytes(rows)

  /** No smaller than [[sizeInBytes]] of as many rows or fewer. */
  def sizeAtMost(rows: Int): Long = sizeInBytes(rows)

  /** No greater than [[sizeInBytes]] of as many rows, whatever the values. */
  def sizeAtLeast(rows: Int): Long = 0

  /** What [[sizeInBytes]] needs to know, later, of the values before `from`. */
  def mark(from: Int): Long = sizeInBytes(from)

  /** Bytes of the values from `from` on, if they were a vector of their own. */
  def sizeInBytes(rows: Int, from: Int, mark: Long): Long = sizeInBytes(rows) - mark

  /** Whether the number of values alone decides [[sizeInBytes]]. */
  def fixed: Boolean = false
}

private[davy] object ColumnWriter {

  /** Allocates `vector` for `rows` values, more if need be later. */
  def of(vector: FieldVector, rows: Int): ColumnWriter = {
    vector.setInitialCapacity(rows)
    vector.allocateNew()
    vector match {
      case v: TinyIntVector          => new ByteWriter(v)
      case v: SmallIntVector         => new ShortWriter(v)
      case v: IntVector              => new IntWriter(v)
      case v: DateDayVector          => new IntWriter(v)
      case v: IntervalYearVector     => new IntWriter(v)
      case v: BigIntVector           => new LongWriter(v)
      case v: TimeStampMicroTZVector => new LongWriter(v)
      case v: TimeStampMicroVector   => new LongWriter(v)
      case v: DurationVector         => new LongWriter(v)
      case v: BitVector              => new BooleanWriter(v)
      case v: DecimalVector          => new DecimalWriter(v)
      case v: Float4Vector           => new FloatWriter(v)
      case v: Float8Vector           => new DoubleWriter(v)
      case v: VarCharVector          => new StringWriter(v)
      case v: VarBinaryVector        => new BinaryWriter(v)
      case other                     => new GeneralWriter(other)
    }
  }

  /** Bytes of a validity bitmap. */
  def bitmapBytes(rows: Int): Int = (rows + 7) / 8
}

private[davy] final class GeneralWriter(vector: FieldVector) extends ColumnWriter(vector) {
  private val writer = new SparkFieldWriter(vector)
  private val one = new GenericInternalRow(1)
  override def write(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    writer.write(row, ordinal)
  override def putNull(at: Int): Unit = put(null, at)
  override def put(value: AnyRef, at: Int): Unit = {
    one.update(0, value)
    writer.write(one, 0)
  }
  override def copy(column: ColumnVector, from: Int, rows: Int, at: Int): Unit = {
    val row = new ColumnarBatchRow(Array[ColumnVector](column))
    row.rowId = from
    while (row.rowId < from + rows) {
      writer.write(row, 0)
      row.rowId += 1
    }
  }
  override def finish(rows: Int): Unit = writer.finish()
  override def sizeInBytes(rows: Int): Long = sizeInBytes(rows, 0, 0)
  override def sizeInBytes(rows: Int, from: Int, mark: Long): Long = {
    writer.settle(rows)
    GeneralWriter.bytes(vector, from, rows)
  }
}

private[davy] object GeneralWriter {

  /** What Arrow's `getBufferSizeFor` tells of a vector of these values alone. */
  private def bytes(vector: FieldVector, from: Int, to: Int): Long =
    if (from == to) 0
    else {
      val bitmap = ColumnWriter.bitmapBytes(to - from).toLong
      vector match {
        case v: BaseLargeVariableWidthVector =>
          val offsets = v.getOffsetBuffer
          bitmap + 8L * (to - from + 1) + offsets.getLong(8L * to) - offsets.getLong(8L * from)
        case v: BaseVariableWidthVector =>
          bitmap + 4L * (to - from + 1) + v.getEndOffset(to - 1) - v.getStartOffset(from)
        case v: ListVector =>
          val values =
            bytes(v.getDataVector, v.getElementStartIndex(from), v.getElementEndIndex(to - 1))
          bitmap + 4L * (to - from + 1) + values
        case v: StructVector =>
          bitmap + v.getChildrenFromFields.asScala.map(bytes(_, from, to)).sum
        case v => v.getBufferSizeFor(to - from).toLong
      }
    }
}

/** The validity bitmap: untouched until the first null. */
private[davy] final class Validity {
  var address: Long = 0
  private var nulls = false

  def setNull(at: Int): Unit = {
    if (!nulls) {
      nulls = true
      fill(at)
      // The bits of this byte that are not known yet.
      if (at % 8 != 0) {
        val last = address + at / 8
        Platform.putByte(null, last, (Platform.getByte(null, last) & ((1 << at % 8) - 1)).toByte)
      }
    }
  }

  def setValid(at: Int): Unit = if (nulls) {
    val place = address + at / 8
    Platform.putByte(null, place, (Platform.getByte(null, place) | 1 << at % 8).toByte)
  }

  def setValid(from: Int, rows: Int): Unit =
    if (nulls) (from until from + rows).foreach(setValid)

  def finish(rows: Int): Unit = if (!nulls) fill(rows)

  private def fill(rows: Int): Unit =
    Platform.setMemory(address, -1.toByte, ColumnWriter.bitmapBytes(rows).toLong)
}

/** Values of one width. Fresh memory is zero, so a null leaves zeros. */
private[davy] abstract class FixedWriter(vector: BaseFixedWidthVector, width: Int)
    extends ColumnWriter(vector) {
  private val validity = new Validity
  private var values = 0L
  private var capacity = 0
  locate()

  /** Row `ordinal`'s value, which is there. */
  protected def copy(row: SpecializedGetters, ordinal: Int, at: Int): Unit

  /** The same of a column's row. */
  protected def copy(column: ColumnVector, row: Int, at: Int): Unit

  /** Values of a column in an array, and where in such arrays the first one is; none if it has no such. */
  protected def array(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)]

  /** Arrow's vectors of the same kind hold the values as they are wanted; of decimals, each is looked at. */
  private def inPlace(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)] =
    column match {
      case arrow: ArrowColumnVector =>
        Option(arrow.getValueVector).collect {
          case v: BaseFixedWidthVector
              if v.getClass == vector.getClass && !v.isInstanceOf[DecimalVector] &&
                from + rows <= v.getValueCount =>
            (null, v.getDataBufferAddress + from.toLong * width)
        }
      case _ => None
    }

  final override def copy(column: ColumnVector, from: Int, rows: Int, at: Int): Unit = {
    val block =
      if (column.hasNull || rows == 0) None
      else inPlace(column, from, rows).orElse(array(column, from, rows))
    block match {
      case Some((base, offset)) =>
        while (at + rows > capacity) grow()
        val to = values + at.toLong * width
        Platform.copyMemory(base, offset, null, to, rows.toLong * width)
        validity.setValid(at, rows)
      case None =>
        var i = 0
        while (i < rows) {
          if (column.isNullAt(from + i)) putNull(at + i) else copy(column, from + i, at + i)
          i += 1
        }
    }
  }

  final override def write(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    if (row.isNullAt(ordinal)) putNull(at) else copy(row, ordinal, at)

  final override def putNull(at: Int): Unit = {
    makeRoom(at)
    validity.setNull(at)
  }

  /** Where the value belongs. */
  protected final def place(at: Int): Long = {
    makeRoom(at)
    validity.setValid(at)
    values + at.toLong * width
  }

  final override def finish(rows: Int): Unit = {
    validity.finish(rows)
    vector.setValueCount(rows)
  }

  final override def sizeInBytes(rows: Int): Long =
    rows.toLong * width + ColumnWriter.bitmapBytes(rows)

  final override def sizeAtLeast(rows: Int): Long = sizeInBytes(rows)

  final override def fixed: Boolean = true

  final override def sizeInBytes(rows: Int, from: Int, mark: Long): Long =
    sizeInBytes(rows - from)

  private def makeRoom(at: Int): Unit = if (at >= capacity) grow()

  private def grow(): Unit = {
    vector.reAlloc()
    locate()
  }

  private def locate(): Unit = {
    values = vector.getDataBufferAddress
    validity.address = vector.getValidityBufferAddress
    capacity = vector.getValueCapacity
  }
}

private[davy] final class ByteWriter(v: BaseFixedWidthVector) extends FixedWriter(v, 1) {
  override def putByte(value: Byte, at: Int): Unit = Platform.putByte(null, place(at), value)
  override def copy(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    putByte(row.getByte(ordinal), at)
  override def copy(column: ColumnVector, row: Int, at: Int): Unit =
    putByte(column.getByte(row), at)
  override def array(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)] =
    Some((column.getBytes(from, rows), Platform.BYTE_ARRAY_OFFSET.toLong))
}
private[davy] final class ShortWriter(v: BaseFixedWidthVector) extends FixedWriter(v, 2) {
  override def putShort(value: Short, at: Int): Unit = Platform.putShort(null, place(at), value)
  override def copy(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    putShort(row.getShort(ordinal), at)
  override def copy(column: ColumnVector, row: Int, at: Int): Unit =
    putShort(column.getShort(row), at)
  override def array(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)] =
    Some((column.getShorts(from, rows), Platform.SHORT_ARRAY_OFFSET.toLong))
}
private[davy] final class IntWriter(v: BaseFixedWidthVector) extends FixedWriter(v, 4) {
  override def putInt(value: Int, at: Int): Unit = Platform.putInt(null, place(at), value)
  override def copy(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    putInt(row.getInt(ordinal), at)
  override def copy(column: ColumnVector, row: Int, at: Int): Unit = putInt(column.getInt(row), at)
  override def array(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)] =
    Some((column.getInts(from, rows), Platform.INT_ARRAY_OFFSET.toLong))
}
private[davy] final class LongWriter(v: BaseFixedWidthVector) extends FixedWriter(v, 8) {
  override def putLong(value: Long, at: Int): Unit = Platform.putLong(null, place(at), value)
  override def copy(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    putLong(row.getLong(ordinal), at)
  override def copy(column: ColumnVector, row: Int, at: Int): Unit =
    putLong(column.getLong(row), at)
  override def array(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)] =
    Some((column.getLongs(from, rows), Platform.LONG_ARRAY_OFFSET.toLong))
}
private[davy] final class FloatWriter(v: BaseFixedWidthVector) extends FixedWriter(v, 4) {
  override def putFloat(value: Float, at: Int): Unit = Platform.putFloat(null, place(at), value)
  override def copy(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    putFloat(row.getFloat(ordinal), at)
  override def copy(column: ColumnVector, row: Int, at: Int): Unit =
    putFloat(column.getFloat(row), at)
  override def array(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)] =
    Some((column.getFloats(from, rows), Platform.FLOAT_ARRAY_OFFSET.toLong))
}
private[davy] final class DoubleWriter(v: BaseFixedWidthVector) extends FixedWriter(v, 8) {
  override def putDouble(value: Double, at: Int): Unit = Platform.putDouble(null, place(at), value)
  override def copy(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    putDouble(row.getDouble(ordinal), at)
  override def copy(column: ColumnVector, row: Int, at: Int): Unit =
    putDouble(column.getDouble(row), at)
  override def array(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)] =
    Some((column.getDoubles(from, rows), Platform.DOUBLE_ARRAY_OFFSET.toLong))
}

/** Values of any length, with 32-bit offsets. */
private[davy] abstract class VariableWriter(vector: BaseVariableWidthVector)
    extends ColumnWriter(vector) {
  private val validity = new Validity
  private var offsets = 0L
  private var values = 0L
  private var capacity = 0
  private var room = 0L
  private var end = 0L
  locate()

  final override def putNull(at: Int): Unit = {
    makeRoom(at)
    validity.setNull(at)
    Platform.putInt(null, offsets + 4L * (at + 1), end.toInt)
  }

  protected final def putBytes(bytes: UTF8String, at: Int): Unit = {
    makeRoom(at)
    val length = bytes.numBytes
    if (end + length > room) {
      // Throws where more than 2^31 bytes would be needed, as it does for Spark.
      vector.reallocDataBuffer(math.max(end + length, math.min(2 * room, Int.MaxValue - 16L)))
      locate()
    }
    bytes.writeToMemory(null, values + end)
    end += length
    validity.setValid(at)
    Platform.putInt(null, offsets + 4L * (at + 1), end.toInt)
  }

  /** The value of a column's row, which is there. */
  protected def value(column: ColumnVector, row: Int): UTF8String

  final override def copy(column: ColumnVector, from: Int, rows: Int, at: Int): Unit = {
    val _ = copyUntil(column, from, rows, at, Long.MaxValue)
  }

  /** Copies until the values have `most` bytes; answers how many rows. */
  final def copyUntil(column: ColumnVector, from: Int, rows: Int, at: Int, most: Long): Int = {
    val nulls = column.hasNull
    var i = 0
    while (i < rows && end < most) {
      if (nulls && column.isNullAt(from + i)) putNull(at + i)
      else putBytes(value(column, from + i), at + i)
      i += 1
    }
    i
  }

  final override def truncate(rows: Int): Unit = end = endOf(rows)

  final override def finish(rows: Int): Unit = {
    validity.finish(rows)
    vector.setLastSet(rows - 1)
    vector.setValueCount(rows)
  }

  final override def sizeUpTo(rows: Int): Long =
    if (rows == 0) 0 else sizeAtLeast(rows) + endOf(rows)

  private def endOf(rows: Int): Long = Platform.getInt(null, offsets + 4L * rows).toLong

  final override def sizeAtMost(rows: Int): Long = sizeAtLeast(rows) + end

  final override def sizeAtLeast(rows: Int): Long =
    if (rows == 0) 0 else ColumnWriter.bitmapBytes(rows) + 4L * (rows + 1)

  final override def sizeInBytes(rows: Int): Long = if (rows == 0) 0 else sizeAtLeast(rows) + end

  final override def mark(from: Int): Long = end

  final override def sizeInBytes(rows: Int, from: Int, mark: Long): Long =
    if (rows == from) 0 else sizeAtLeast(rows - from) + end - mark

  private def makeRoom(at: Int): Unit = if (at >= capacity) {
    vector.reallocValidityAndOffsetBuffers()
    locate()
  }

  private def locate(): Unit = {
    offsets = vector.getOffsetBufferAddress
    values = vector.getDataBufferAddress
    validity.address = vector.getValidityBufferAddress
    capacity = vector.getValueCapacity
    room = vector.getDataBuffer.capacity()
  }
}

private[davy] final class StringWriter(v: BaseVariableWidthVector) extends VariableWriter(v) {
  override def put(value: AnyRef, at: Int): Unit = putBytes(value.asInstanceOf[UTF8String], at)
  override def write(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    if (row.isNullAt(ordinal)) putNull(at) else putBytes(row.getUTF8String(ordinal), at)
  override def value(column: ColumnVector, row: Int): UTF8String = column.getUTF8String(row)
}
private[davy] final class BinaryWriter(v: BaseVariableWidthVector) extends VariableWriter(v) {
  override def put(value: AnyRef, at: Int): Unit =
    putBytes(UTF8String.fromBytes(value.asInstanceOf[Array[Byte]]), at)
  override def write(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    if (row.isNullAt(ordinal)) putNull(at) else put(row.getBinary(ordinal), at)
  override def value(column: ColumnVector, row: Int): UTF8String =
    UTF8String.fromBytes(column.getBinary(row))
}
