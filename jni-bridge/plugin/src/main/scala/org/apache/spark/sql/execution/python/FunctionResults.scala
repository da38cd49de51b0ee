package org.apache.spark.sql.execution.python

/**
 * Results of a function, asked for from this package: PySpark 4.0 and 4.1 look for its name in the stack of a
 * failure to tell whether a function failed.
 */
private[sql] final class FunctionResults[T](results: Iterator[T]) extends Iterator[T] {
  override def hasNext: Boolean = results.hasNext
  override def next(): T = results.next()
}
