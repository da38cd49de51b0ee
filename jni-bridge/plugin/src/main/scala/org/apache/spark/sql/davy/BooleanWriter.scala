package org.apache.spark.sql.davy

import org.apache.arrow.vector.BitVector
import org.apache.spark.sql.catalyst.expressions.SpecializedGetters
import org.apache.spark.sql.vectorized.ColumnVector
import org.apache.spark.unsafe.Platform

/** Values of one bit. Fresh memory is zero, so a null leaves zeros. */
private[davy] final class BooleanWriter(vector: BitVector) extends ColumnWriter(vector) {
  private val validity = new Validity
  private var values = 0L
  private var capacity = 0
  locate()

  override def write(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    if (row.isNullAt(ordinal)) putNull(at) else putBoolean(row.getBoolean(ordinal), at)

  override def putNull(at: Int): Unit = {
    makeRoom(at)
    validity.setNull(at)
  }

  override def putBoolean(value: Boolean, at: Int): Unit = {
    makeRoom(at)
    validity.setValid(at)
    val (place, bit) = (values + at / 8, 1 << at % 8)
    val others = Platform.getByte(null, place) & ~bit
    Platform.putByte(null, place, (if (value) others | bit else others).toByte)
  }

  override def copy(column: ColumnVector, from: Int, rows: Int, at: Int): Unit = {
    val nulls = column.hasNull
    var i = 0
    while (i < rows) {
      if (nulls && column.isNullAt(from + i)) putNull(at + i)
      else putBoolean(column.getBoolean(from + i), at + i)
      i += 1
    }
  }

  override def finish(rows: Int): Unit = {
    validity.finish(rows)
    vector.setValueCount(rows)
  }

  override def sizeInBytes(rows: Int): Long = 2L * ColumnWriter.bitmapBytes(rows)
  override def sizeAtLeast(rows: Int): Long = sizeInBytes(rows)
  override def sizeInBytes(rows: Int, from: Int, mark: Long): Long = sizeInBytes(rows - from)
  override def fixed: Boolean = true

  private def makeRoom(at: Int): Unit = if (at >= capacity) {
    vector.reAlloc()
    locate()
  }

  private def locate(): Unit = {
    values = vector.getDataBufferAddress
    validity.address = vector.getValidityBufferAddress
    capacity = vector.getValueCapacity
  }
}
