package org.apache.spark.sql.davy

import org.apache.arrow.vector._
import org.apache.spark.sql.vectorized.ArrowColumnVector
import org.apache.spark.unsafe.Platform
import org.apache.spark.unsafe.types.UTF8String

/**
 * Reads an Arrow vector where it lies. Arrow's own accessors look at reference counts, bounds and
 * validity several times for each value, which costs more than all else that Spark does with it; here
 * it is one comparison with the number of rows, which is 0 once the vector is closed.
 *
 * What the buffers hold was validated when the batch came (offsets, lengths, UTF-8).
 */
private[davy] abstract class InPlaceColumn(vector: FieldVector) extends ArrowColumnVector(vector) {
  private val hasNulls = vector.getNullCount > 0
  private val validity = vector.getValidityBuffer.memoryAddress()
  private var rows = vector.getValueCount

  protected final def check(row: Int): Unit =
    if (row < 0 || row >= rows) throw new IndexOutOfBoundsException(s"row $row of $rows")

  final override def isNullAt(row: Int): Boolean = {
    check(row)
    hasNulls && (Platform.getByte(null, validity + (row >> 3)) >> (row & 7) & 1) == 0
  }

  final override def close(): Unit = {
    rows = 0
    super.close()
  }
}

private[davy] object InPlaceColumn {

  /** Of numbers, dates, times, text and bytes; other types are Spark's to read. */
  def of(vector: ValueVector): ArrowColumnVector = vector match {
    case v: TinyIntVector          => new ByteColumn(v)
    case v: SmallIntVector         => new ShortColumn(v)
    case v: IntVector              => new IntColumn(v)
    case v: DateDayVector          => new IntColumn(v)
    case v: IntervalYearVector     => new IntColumn(v)
    case v: BigIntVector           => new LongColumn(v)
    case v: TimeStampMicroTZVector => new LongColumn(v)
    case v: TimeStampMicroVector   => new LongColumn(v)
    case v: Float4Vector           => new FloatColumn(v)
    case v: Float8Vector           => new DoubleColumn(v)
    case v: VarCharVector          => new StringColumn(v)
    case v: VarBinaryVector        => new BinaryColumn(v)
    case other                     => new ArrowColumnVector(other)
  }
}

private[davy] abstract class FixedColumn(v: BaseFixedWidthVector) extends InPlaceColumn(v) {
  private val values = v.getDataBufferAddress
  protected final def place(row: Int, width: Int): Long = {
    // Spark asks for nulls first, except where a schema says that there are none. Arrow's words.
    if (isNullAt(row)) throw new IllegalStateException("Value at index is null")
    values + row.toLong * width
  }
}

private[davy] final class ByteColumn(v: BaseFixedWidthVector) extends FixedColumn(v) {
  override def getByte(row: Int): Byte = Platform.getByte(null, place(row, 1))
}
private[davy] final class ShortColumn(v: BaseFixedWidthVector) extends FixedColumn(v) {
  override def getShort(row: Int): Short = Platform.getShort(null, place(row, 2))
}
private[davy] final class IntColumn(v: BaseFixedWidthVector) extends FixedColumn(v) {
  override def getInt(row: Int): Int = Platform.getInt(null, place(row, 4))
}
private[davy] final class LongColumn(v: BaseFixedWidthVector) extends FixedColumn(v) {
  override def getLong(row: Int): Long = Platform.getLong(null, place(row, 8))
}
private[davy] final class FloatColumn(v: BaseFixedWidthVector) extends FixedColumn(v) {
  override def getFloat(row: Int): Float = Platform.getFloat(null, place(row, 4))
}
private[davy] final class DoubleColumn(v: BaseFixedWidthVector) extends FixedColumn(v) {
  override def getDouble(row: Int): Double = Platform.getDouble(null, place(row, 8))
}

/** Values of any length, with 32-bit offsets. */
private[davy] abstract class VariableColumn(v: BaseVariableWidthVector) extends InPlaceColumn(v) {
  private val offsets = v.getOffsetBufferAddress
  private val values = v.getDataBufferAddress
  protected final def bytes(row: Int): UTF8String =
    if (isNullAt(row)) null
    else {
      val start = Platform.getInt(null, offsets + 4L * row)
      val end = Platform.getInt(null, offsets + 4L * (row + 1))
      UTF8String.fromAddress(null, values + start, end - start)
    }
}

private[davy] final class StringColumn(v: BaseVariableWidthVector) extends VariableColumn(v) {
  override def getUTF8String(row: Int): UTF8String = bytes(row)
}
private[davy] final class BinaryColumn(v: BaseVariableWidthVector) extends VariableColumn(v) {
  override def getBinary(row: Int): Array[Byte] = {
    val found = bytes(row)
    if (found == null) null else found.getBytes
  }
}
