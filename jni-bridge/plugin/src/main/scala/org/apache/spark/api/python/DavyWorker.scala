package org.apache.spark.api.python

import java.nio.channels.{SelectionKey, Selector}

import davy.Sandbox

/**
 * A Python worker that is a sandbox. Spark holds it exactly as it holds a worker process.
 *
 * @param stopping is told before the sandbox ends, whenever somebody ends it
 */
private[spark] final class DavyWorker(
    private[python] val davyChannel: DavyChannel,
    stopping: Sandbox => Unit
) extends PythonWorker(davyChannel) {

  private var current: Option[DavySelector] = None

  override def selector: Selector = synchronized(current.orNull)
  override def selectionKey: SelectionKey = synchronized(current.map(_.key).orNull)

  /** As stock, with our selector: the JDK's refuses channels that are not its own. */
  override def refresh(): this.type = synchronized {
    current.foreach(_.close())
    current = if (davyChannel.isBlocking) None else Some(new DavySelector(davyChannel))
    this
  }

  /** Overrides what Spark 4.3 has and 4.0 has not, hence without the keyword. */
  def refreshNonBlocking(): PythonWorker = synchronized {
    if (davyChannel.isBlocking) davyChannel.configureBlocking(false)
    refresh()
  }

  /** Ends the sandbox and frees it. */
  override def stop(): Unit = synchronized {
    current.foreach(_.close())
    stopping(sandbox)
    davyChannel.close()
  }

  private[spark] def sandbox: Sandbox = davyChannel.sandbox

  def isStopped: Boolean = davyChannel.sandbox.isClosed
}
