package org.apache.spark.api.python

import davy.{DavyException, Guest, Sandboxes, TaskMemory}
import org.apache.spark.{SparkConf, TaskContext}
import org.apache.spark.internal.config.{MEMORY_OFFHEAP_ENABLED, MEMORY_OFFHEAP_SIZE}
import org.apache.spark.memory.{MemoryConsumer, MemoryMode}

/**
 * The memory of sandboxes in Spark's books: it is part of each task's peak execution memory, and, if
 * it is charged, acquired from the task's memory manager before the guest grows.
 *
 * A guest asks for memory on its own thread, which may not call Java. So it waits, and the task's
 * thread acquires: it serves the guest whenever it waits for it, which is where Spark's own operators
 * acquire memory and make each other spill. While that thread computes input rows the guest waits a
 * little longer; a guest that is stopped does not wait.
 */
private[spark] final class SparkMemory(conf: SparkConf, charged: Boolean) extends TaskMemory {
  import SparkMemory._

  override def open(guest: Guest): TaskMemory.Account = Option(TaskContext.get()) match {
    // The driver's planner, and the warm-up: nobody's task.
    case None          => TaskMemory.None
    case Some(context) =>
      val account = if (charged) new Charged(guest, context) else new Counted(guest, context)
      account.begin()
      val _ = context.addTaskCompletionListener[Unit](_ => account.close())
      account
  }

  /** Knows what the task's guest held at most, and tells Spark at the end. */
  private class Counted(guest: Guest, context: TaskContext) extends TaskMemory.Account {
    private var closed = false

    def begin(): Unit = {
      // The peak is this task's.
      val _ = guest.sandboxes.grantMemory(guest.handle, -1)
    }
    override def ops: Int = 0
    override def serve(): Unit = ()

    override def close(): Unit = synchronized {
      if (!closed) {
        closed = true
        try context.taskMetrics().incPeakExecutionMemory(held(1))
        finally free()
      }
    }
    protected def isClosed: Boolean = closed
    protected def free(): Unit = ()

    /** See [[Sandboxes.memoryHeld]]; of a sandbox that was freed it is nothing. */
    protected def held: Array[Long] =
      try guest.sandboxes.memoryHeld(guest.handle)
      catch { case _: DavyException => Array(0L, 0L, 0L) }
  }

  private final class Charged(guest: Guest, context: TaskContext) extends Counted(guest, context) {
    private val consumer = new SandboxConsumer(context)
    private var granted = 0L

    override def begin(): Unit = {
      super.begin()
      val has = guest.sandboxes.grantMemory(guest.handle, 0)
      if (!acquire(has)) throw refused(conf, Who, held(0), has)
      val _ = guest.sandboxes.grantMemory(guest.handle, granted)
    }

    override def ops: Int = Sandboxes.Memory

    override def serve(): Unit = synchronized {
      val wanted = held(2)
      // After the end of the task the guest waits for its stop.
      if (wanted > 0 && !isClosed) {
        if (wanted <= granted || acquire(wanted)) {
          val _ = guest.sandboxes.grantMemory(guest.handle, granted)
        } else guest.sandboxes.refuseMemory(guest.handle, refusal(conf, Who, held(0), wanted))
      }
    }

    /** Has at least `bytes` granted, in all; more, so that it need not be asked for each page. */
    private def acquire(bytes: Long): Boolean = {
      val got = consumer.acquireMemory(math.max(bytes + bytes / 8, bytes + Step) - granted)
      val enough = granted + got >= bytes
      if (enough) granted += got else consumer.freeMemory(got)
      enough
    }

    override protected def free(): Unit = consumer.freeMemory(consumer.getUsed)
  }

  private val Step = 4L << 20
  private val Who = "the sandbox"
}

/** What a sandbox holds is its own to free: it cannot spill for others. */
private final class SandboxConsumer(context: TaskContext)
    extends MemoryConsumer(context.taskMemoryManager(), MemoryMode.OFF_HEAP) {
  override def spill(size: Long, trigger: MemoryConsumer): Long = 0
  override def toString: String = "Davy's sandbox"
}

private[spark] object SparkMemory {

  /** @param asked bytes in all, with those that are used */
  private def refusal(conf: SparkConf, who: String, used: Long, asked: Long): String = {
    def mb(n: Long) = f"${n / 1048576.0}%.1f MB"
    s"Spark's memory manager refused memory for $who: ${mb(used)} used, ${mb(asked)} asked in all, " +
      s"and spark.memory.offHeap.size is ${mb(conf.get(MEMORY_OFFHEAP_SIZE))} for all tasks of the " +
      "executor (spark.davy.memory.charge is on)"
  }

  /** The end of a task for whose batches, or whose sandbox at its start, there is no memory. */
  def refused(conf: SparkConf, who: String, used: Long, asked: Long): DavyException =
    new DavyException(DavyException.Limit, s"${refusal(conf, who, used, asked)}. $Remedy")

  private val Remedy = "Give the task less data (more partitions), run fewer tasks at once " +
    "(spark.executor.cores), or raise spark.memory.offHeap.size"

  /** What is wrong with the settings, if memory is to be charged. */
  def problem(conf: SparkConf): Option[String] =
    Option.when(!conf.get(MEMORY_OFFHEAP_ENABLED) || conf.get(MEMORY_OFFHEAP_SIZE) <= 0)(
      "spark.davy.memory.charge is true, but Spark has no off-heap memory to charge to. What to do: " +
        "set spark.memory.offHeap.enabled=true and spark.memory.offHeap.size to what the sandboxes of " +
        "one executor may hold together, or leave spark.davy.memory.charge out"
    )
}
