package org.apache.spark.sql.davy

import org.apache.spark.TaskContext
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.vectorized.{ColumnVector, ColumnarBatch}

/** The rows of results. A row is valid until the next one is asked for. */
private[davy] final class OutputRows(results: Iterator[OutputBatch], context: TaskContext)
    extends Iterator[InternalRow] {
  private var current: OutputBatch = _
  private var rows: java.util.Iterator[InternalRow] = java.util.Collections.emptyIterator()
  context.addTaskCompletionListener[Unit](_ => if (current != null) current.close())

  override def hasNext: Boolean = {
    while (!rows.hasNext && results.hasNext) {
      if (current != null) current.close()
      current = null
      current = results.next()
      val columns = current.columns.map(c => c: ColumnVector)
      rows = new ColumnarBatch(columns, current.rows).rowIterator
    }
    rows.hasNext
  }

  override def next(): InternalRow = {
    if (!hasNext) throw new NoSuchElementException
    rows.next()
  }
}
