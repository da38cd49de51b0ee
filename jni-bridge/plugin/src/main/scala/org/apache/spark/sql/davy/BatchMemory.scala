package org.apache.spark.sql.davy

import org.apache.arrow.memory.{AllocationListener, BufferAllocator}
import org.apache.spark.{SparkEnv, TaskContext}
import org.apache.spark.api.python.{DavyWorkers, SparkMemory}
import org.apache.spark.memory.{MemoryConsumer, MemoryMode}
import org.apache.spark.sql.util.ArrowUtils

/**
 * Memory of a task's batches outside of the sandbox. It is part of the task's peak execution memory
 * and, if memory is charged, acquired from Spark's memory manager before it is allocated.
 */
private[davy] object BatchMemory {

  /** All that it allocated must be free when the task ends. */
  def allocator(context: TaskContext): BufferAllocator = {
    val charged = DavyWorkers.of(SparkEnv.get).exists(_.chargesMemory)
    val account = Option.when(charged)(new BatchMemory(context))
    val allocator = ArrowUtils.rootAllocator.newChildAllocator(
      s"davy batches of task ${context.taskAttemptId()}",
      account.getOrElse(AllocationListener.NOOP),
      0,
      Long.MaxValue
    )
    account.foreach(_.allocator = allocator)
    context.addTaskCompletionListener[Unit] { _ =>
      context.taskMetrics().incPeakExecutionMemory(allocator.getPeakMemoryAllocation)
      try allocator.close()
      finally account.foreach(_.close())
    }
    allocator
  }

  /** Bytes that are acquired at once, so that it need not be asked for each buffer. */
  private val Step = 4L << 20
}

/** Asked from the task's thread and, in older Spark, from the one that writes to the worker. */
private final class BatchMemory(context: TaskContext) extends AllocationListener {
  import BatchMemory.Step

  private var allocator: BufferAllocator = _
  // Batches belong to whoever reads them next: none is spilled for others.
  private val consumer =
    new MemoryConsumer(context.taskMemoryManager(), MemoryMode.OFF_HEAP) {
      override def spill(size: Long, trigger: MemoryConsumer): Long = 0
      override def toString: String = "Davy's batches"
    }

  override def onPreAllocation(size: Long): Unit = synchronized {
    val (held, granted) = (allocator.getAllocatedMemory, consumer.getUsed)
    val wanted = held + size
    if (wanted > granted) {
      val got = consumer.acquireMemory(wanted + Step - granted)
      if (granted + got < wanted) {
        consumer.freeMemory(got)
        throw SparkMemory.refused(SparkEnv.get.conf, "Arrow batches", held, wanted)
      }
    }
  }

  override def onRelease(size: Long): Unit = synchronized {
    val spare = consumer.getUsed - allocator.getAllocatedMemory
    if (spare > 2 * Step) consumer.freeMemory(spare - Step)
  }

  private def close(): Unit = synchronized(consumer.freeMemory(consumer.getUsed))
}
