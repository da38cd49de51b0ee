package org.apache.spark.api.python

import java.net.ProtocolFamily
import java.nio.channels.{DatagramChannel, Pipe, SelectableChannel, SelectionKey, Selector}
import java.nio.channels.{ServerSocketChannel, SocketChannel}
import java.nio.channels.spi.{AbstractSelectableChannel, AbstractSelectionKey, AbstractSelector}
import java.nio.channels.spi.SelectorProvider
import java.util.{Collections, Set => JavaSet}

/** A selector for one [[DavyChannel]]: the JDK's own takes no channels but its own. */
private[python] final class DavySelector(channel: DavyChannel)
    extends AbstractSelector(DavySelectorProvider) {
  val key = new DavyKey(channel, this)
  @volatile private var woken = false

  /** Waits for ever if `timeout` is 0. Throws if the task is killed meanwhile. */
  override def select(timeout: Long): Int =
    selectUntil(if (timeout == 0) None else Some(System.nanoTime() + timeout * 1000000L))
  override def select(): Int = select(0)
  override def selectNow(): Int = selectUntil(Some(System.nanoTime()))

  private def selectUntil(until: Option[Long]): Int = {
    val sandbox = channel.sandbox
    while (true) {
      Interruption.check(sandbox)
      val left = until.map(_ - System.nanoTime())
      val slice = left.fold(Interruption.SliceMillis)(nanos =>
        math.min(Interruption.SliceMillis, math.max(0, (nanos + 999999) / 1000000))
      )
      val ready = sandbox.await(key.wanted, slice)
      key.ready = ready
      if (ready != 0) return 1
      if (woken) {
        woken = false
        return 0
      }
      if (left.exists(_ <= 0)) return 0
    }
    0
  }

  override def wakeup(): Selector = {
    woken = true
    channel.sandbox.wake()
    this
  }

  override def keys(): JavaSet[SelectionKey] = Collections.singleton(key)
  override def selectedKeys(): JavaSet[SelectionKey] =
    if (key.ready != 0) Collections.singleton(key) else Collections.emptySet()
  override def implCloseSelector(): Unit = ()
  override def register(c: AbstractSelectableChannel, ops: Int, att: Object): SelectionKey =
    throw new UnsupportedOperationException("a sandbox's selector serves its own channel only")
}

/** The interest of Spark's reader in a channel, and what the last select found. */
private[python] final class DavyKey(theChannel: DavyChannel, theSelector: DavySelector)
    extends AbstractSelectionKey {
  @volatile private var interest = SelectionKey.OP_READ | SelectionKey.OP_WRITE
  @volatile private[python] var ready = 0

  /** A guest that is gone is always "writable", as a broken pipe is: nobody waits for that. */
  private[python] def wanted: Int =
    if (theChannel.takesInput) interest else interest & ~SelectionKey.OP_WRITE

  override def channel(): SelectableChannel = theChannel
  override def selector(): Selector = theSelector
  override def interestOps(): Int = interest
  override def interestOps(ops: Int): SelectionKey = {
    interest = ops
    this
  }
  override def readyOps(): Int = ready & interest
}

/** NIO asks every channel for its provider; ours makes nothing by itself. */
private[python] object DavySelectorProvider extends SelectorProvider {
  private def none = throw new UnsupportedOperationException(
    "Davy's channels come from its workers"
  )
  override def openDatagramChannel(): DatagramChannel = none
  override def openDatagramChannel(family: ProtocolFamily): DatagramChannel = none
  override def openPipe(): Pipe = none
  override def openSelector(): AbstractSelector = none
  override def openServerSocketChannel(): ServerSocketChannel = none
  override def openSocketChannel(): SocketChannel = none
}
