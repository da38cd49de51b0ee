package org.apache.spark.sql.execution.python

import java.lang.invoke.{MethodHandle, MethodHandles}

import org.apache.spark.TaskContext
import org.apache.spark.sql.catalyst.expressions.UnsafeRow

/**
 * Spark's own queue of rows that wait for their results, which spills to disk and which only this
 * package may call. Spark 4.3 has given `add` and `remove` other types. With
 * `spark.python.udf.pipelined.enabled` rows are added by another thread.
 *
 * @param width number of columns
 */
private[sql] final class SparkRowQueue(context: TaskContext, width: Int) {
  private val queue = HybridRowQueue(context.taskMemoryManager(), width)
  context.addTaskCompletionListener[Unit](_ => queue.close())

  def add(row: UnsafeRow): Unit = synchronized {
    val _ = SparkRowQueue.put.invoke(queue, row): AnyRef
  }

  /** Null if there is none. */
  def remove(): UnsafeRow = synchronized {
    (SparkRowQueue.take.invoke(queue): AnyRef).asInstanceOf[UnsafeRow]
  }
}

private object SparkRowQueue {
  private val put = handle("add", 1)
  private val take = handle("remove", 0)

  private def handle(name: String, parameters: Int): MethodHandle = {
    val found = classOf[HybridRowQueue].getMethods
      .filter(m => m.getName == name && m.getParameterCount == parameters)
      .head
    MethodHandles.lookup().unreflect(found)
  }
}
