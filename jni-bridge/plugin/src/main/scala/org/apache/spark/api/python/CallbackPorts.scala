package org.apache.spark.api.python

import davy.Sandbox
import org.apache.spark.TaskContext

/**
 * The ports where Spark 4.0 serves what Python calls back for: barriers, encrypted broadcasts, the state of streaming
 * queries. Later versions have Unix sockets with names that nobody guesses; a port proves nothing, so a sandbox may
 * connect only to those that were opened by the thread that runs its task.
 */
private[spark] final class CallbackPorts {
  private final class Opened(val task: TaskContext) {
    var ports = Map.empty[Int, Boolean]
    var sandboxes = List.empty[Sandbox]
  }
  private val here = new ThreadLocal[Opened]

  /** Spark serves the task of this thread at `port`, `once` or all the time. */
  def opened(port: Int, once: Boolean): Unit = {
    val mine = current
    mine.ports += port -> once
    mine.sandboxes.foreach(_.allowPort(port, once))
  }

  /** This thread's task has `sandbox` now. */
  def handedTo(sandbox: Sandbox): Unit = {
    // The driver's threads have no task, but one conversation after another, each with a sandbox of its own.
    if (TaskContext.get() == null) here.remove()
    val mine = current
    mine.sandboxes ::= sandbox
    for ((port, once) <- mine.ports) sandbox.allowPort(port, once)
  }

  private def current: Opened = {
    val task = TaskContext.get()
    val known = here.get()
    if (known != null && (known.task eq task)) known
    else {
      val fresh = new Opened(task)
      here.set(fresh)
      if (task != null) task.addTaskCompletionListener[Unit](_ => here.remove())
      fresh
    }
  }
}
