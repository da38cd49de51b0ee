package org.apache.spark.sql.execution.python

import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.Attribute

/** Spark's own grouping of rows for Python, which only this package may call. */
object SparkGroups {

  /**
   * The columns that the guest gets, those that are keys as well only once, and where it finds keys
   * and values among them.
   */
  def columns(output: Seq[Attribute], grouping: Seq[Attribute]): (Seq[Attribute], Array[Int]) =
    PandasGroupUtils.resolveArgOffsets(output, grouping)

  /** Rows sorted by `grouping` → keys, each with the `columns` of its rows. */
  def of(
      rows: Iterator[InternalRow],
      grouping: Seq[Attribute],
      output: Seq[Attribute],
      columns: Seq[Attribute]
  ): Iterator[(InternalRow, Iterator[InternalRow])] =
    PandasGroupUtils.groupAndProject(rows, grouping, output, columns)
}
