package org.apache.spark.api.python

import java.nio.channels.ClosedByInterruptException

import davy.Sandbox
import org.apache.spark.{TaskContext, TaskKilledException}

/**
 * How a waiting thread learns that its task is over.
 *
 * With `spark.task.interruptOnCancel` Spark interrupts the task's thread; without it Spark only
 * marks the task, and nobody wakes the thread. Waiting in short slices and looking at both makes a
 * kill prompt either way.
 */
private[python] object Interruption {

  /** Longest time a thread waits between two looks. */
  val SliceMillis = 10L

  /** Throws if the task was killed or the thread interrupted. */
  def check(): Unit = {
    val context = TaskContext.get()
    if (context != null && context.isInterrupted()) {
      throw new TaskKilledException(context.getKillReason().getOrElse("unknown reason"))
    }
    // As NIO does: the flag stays set, for whoever handles the interruption.
    if (Thread.currentThread().isInterrupted) throw new ClosedByInterruptException
  }

  /** As [[check]], and the sandbox ends with the task. */
  def check(sandbox: Sandbox): Unit =
    try check()
    catch {
      case e: TaskKilledException =>
        sandbox.stop(s"the task was killed: ${e.reason}")
        throw e
      case e: ClosedByInterruptException =>
        sandbox.stop("the task's thread was interrupted")
        throw e
    }
}
