package org.apache.spark.sql.davy

import org.apache.spark.TaskContext
import org.apache.spark.memory.MemoryConsumer

/**
 * What a task's groups hold, in Spark's books: columns, one of them twice, for the rows as they came and as
 * they belong, which are outside the heap, as all Arrow memory is; keys, and some numbers of each row. An operator
 * of the same task that needs memory gets what is booked here; while rows still come, they go to Spark's
 * sort then.
 */
private[davy] final class ClusterMemory(context: TaskContext) {
  private val consumer = new MemoryConsumer(
    context.taskMemoryManager(),
    context.taskMemoryManager().getTungstenMemoryMode
  ) {
    override def spill(size: Long, trigger: MemoryConsumer): Long =
      if (trigger eq this) 0
      else {
        val booked = getUsed
        freeMemory(booked)
        enough = false
        booked
      }
    override def toString: String = "Davy's groups"
  }
  @volatile private var enough = true

  /** Whether all that was held is Spark's to give. */
  def suffices: Boolean = enough

  /** @param keys bytes of those that are new with the batch */
  def hold(batch: InputBatch, keys: Long): Unit = {
    val columns = batch.columns.map(_.getBufferSize.toLong)
    val bytes = columns.sum + columns.max + ClusterMemory.Row * batch.rows + keys
    enough &&= consumer.getUsed + bytes <= ClusterMemory.Most && {
      val got = consumer.acquireMemory(bytes)
      if (got < bytes) consumer.freeMemory(got)
      got == bytes
    }
  }

  def close(): Unit = consumer.freeMemory(consumer.getUsed)
}

private[davy] object ClusterMemory {

  /** Bytes of a row's numbers: its code twice, its place, its turn. */
  private val Row = 16L

  /** Bytes of a key beside its values', which are there twice: its row, and its places in the tables of codes. */
  val Key = 192L

  /** Bytes. */
  val Most: Long = 512L << 20
}
