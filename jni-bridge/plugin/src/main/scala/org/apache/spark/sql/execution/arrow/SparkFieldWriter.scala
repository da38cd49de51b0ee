package org.apache.spark.sql.execution.arrow

import org.apache.arrow.vector.FieldVector
import org.apache.spark.sql.catalyst.expressions.SpecializedGetters

/** Spark's own writer of one column, which it keeps inside this package. */
private[sql] final class SparkFieldWriter(vector: FieldVector) {
  private val writer = ArrowWriter.createFieldWriter(vector)

  def write(row: SpecializedGetters, ordinal: Int): Unit = writer.write(row, ordinal)
  def finish(): Unit = writer.finish()

  /** Writes what nulls left out so far (offsets), as Spark does before it asks for sizes. */
  def settle(rows: Int): Unit = vector.setValueCount(rows)
}
