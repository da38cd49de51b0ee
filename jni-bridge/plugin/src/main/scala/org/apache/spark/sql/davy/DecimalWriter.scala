package org.apache.spark.sql.davy

import org.apache.arrow.vector.DecimalVector
import org.apache.spark.sql.catalyst.expressions.SpecializedGetters
import org.apache.spark.sql.types.Decimal
import org.apache.spark.sql.vectorized.ColumnVector
import org.apache.spark.unsafe.Platform

/** Decimals: 16 bytes of the unscaled value, little-endian. What does not fit is null, as in Spark. */
private[davy] final class DecimalWriter(vector: DecimalVector) extends FixedWriter(vector, 16) {
  private val (precision, scale) = (vector.getPrecision, vector.getScale)

  override def put(value: AnyRef, at: Int): Unit = {
    val decimal = value.asInstanceOf[Decimal]
    if (!decimal.changePrecision(precision, scale)) putNull(at)
    else if (precision <= Decimal.MAX_LONG_DIGITS) {
      val unscaled = decimal.toUnscaledLong
      putUnscaled(place(at), unscaled, unscaled >> 63)
    } else {
      val unscaled = decimal.toJavaBigDecimal.unscaledValue
      putUnscaled(place(at), unscaled.longValue, unscaled.shiftRight(64).longValue)
    }
  }

  override def copy(row: SpecializedGetters, ordinal: Int, at: Int): Unit =
    put(row.getDecimal(ordinal, precision, scale), at)

  override def copy(column: ColumnVector, row: Int, at: Int): Unit =
    put(column.getDecimal(row, precision, scale), at)

  override def array(column: ColumnVector, from: Int, rows: Int): Option[(AnyRef, Long)] = None

  private def putUnscaled(place: Long, low: Long, high: Long): Unit = {
    Platform.putLong(null, place, low)
    Platform.putLong(null, place + 8, high)
  }
}
