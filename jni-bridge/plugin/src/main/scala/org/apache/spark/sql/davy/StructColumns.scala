package org.apache.spark.sql.davy

import org.apache.spark.TaskContext
import org.apache.spark.api.python.PythonEvalType
import org.apache.spark.sql.types.DataType
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * The fields of the one struct that each batch of results is.
 *
 * A batch is valid until the next one is asked for.
 *
 * @param width number of columns
 * @param checked the type that each batch must have, if Spark looks
 */
private[davy] final class StructColumns(
    results: Iterator[OutputBatch],
    width: Int,
    checked: Option[DataType],
    evalType: Int,
    context: TaskContext
) extends Iterator[ColumnarBatch] {
  private var current: OutputBatch = _
  context.addTaskCompletionListener[Unit](_ => if (current != null) current.close())

  override def hasNext: Boolean = results.hasNext

  override def next(): ColumnarBatch = {
    if (current != null) current.close()
    current = null
    current = results.next()
    val actual = current.columns(0).dataType()
    checked.filterNot(DataType.equalsIgnoreCompatibleNullability(actual, _)).foreach { expected =>
      throw OutputTypes.mismatch(PythonEvalType.toString(evalType), Seq(expected), Seq(actual))
    }
    new ColumnarBatch(current.fields.take(width), current.rows)
  }
}
