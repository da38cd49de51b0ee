package org.apache.spark.api.python

import java.net.{Socket, SocketAddress, SocketOption, SocketTimeoutException}
import java.nio.ByteBuffer
import java.nio.channels.{ClosedChannelException, SocketChannel}
import java.util.{Collections, Set => JavaSet}

import davy.{DavyException, Sandbox, Sandboxes}

/**
 * The channel between Spark and a sandbox, in the shape of the socket channel that Spark's workers
 * have. No byte rests here: the buffers are the sandbox's.
 *
 * Two channels are equal only if they are the same one: Spark remembers by worker, and so by
 * channel, which broadcasts a Python process holds.
 */
private[python] final class DavyChannel(val sandbox: Sandbox)
    extends SocketChannel(DavySelectorProvider) {

  // Set when a write found no guest. The fault, or the last output, is left to the reader: it is
  // the Python exception more often than not, and must not be hidden by "broken pipe".
  @volatile private var inputGone = false
  // Set by Spark's own "kill on idle timeout", which reads the end of output as its success.
  @volatile private var destroyed = false

  /** Whether writing still makes sense. */
  private[python] def takesInput: Boolean = !inputGone

  /** Ends the guest on behalf of Spark's idle timeout. */
  private[python] def destroy(reason: String): Unit = {
    destroyed = true
    sandbox.stop(reason)
  }

  override def read(dst: ByteBuffer): Int =
    if (isBlocking) readWithin(dst, 0) else readNow(dst)

  override def write(src: ByteBuffer): Int = {
    if (!isBlocking) return writeNow(src)
    val all = src.remaining()
    while (src.hasRemaining && takesInput) {
      if (writeNow(src) == 0 && takesInput) waitFor(Sandboxes.Writable, Long.MaxValue)
    }
    // To a guest that is gone everything can be written: the reader hears why it is gone.
    src.position(src.limit())
    all
  }

  /** Waits for at least one byte; `timeoutMillis` 0 waits for ever, as a socket does. */
  private[python] def readWithin(dst: ByteBuffer, timeoutMillis: Int): Int = {
    val until =
      if (timeoutMillis == 0) Long.MaxValue else System.nanoTime() + timeoutMillis * 1000000L
    var n = readNow(dst)
    while (n == 0 && dst.hasRemaining) {
      if (!waitFor(Sandboxes.Readable, until)) throw new SocketTimeoutException("Read timed out")
      n = readNow(dst)
    }
    n
  }

  /** Waits for one of `ops`, until the clock of `System.nanoTime` says `until`. */
  private def waitFor(ops: Int, until: Long): Boolean = {
    while (sandbox.await(ops, Interruption.SliceMillis) == 0) {
      Interruption.check(sandbox)
      if (until != Long.MaxValue && System.nanoTime() - until >= 0) return false
    }
    true
  }

  private def readNow(dst: ByteBuffer): Int = {
    if (!isOpen) throw new ClosedChannelException
    try sandbox.read(dst)
    catch {
      case e: DavyException =>
        Interruption.check(sandbox)
        if (destroyed && e.fault == DavyException.Stopped) -1 else throw e
    }
  }

  private def writeNow(src: ByteBuffer): Int = {
    if (!isOpen) throw new ClosedChannelException
    Interruption.check(sandbox)
    if (inputGone) return 0
    try sandbox.write(src)
    catch {
      case _: DavyException =>
        Interruption.check(sandbox)
        inputGone = true
        0
    }
  }

  override def implCloseSelectableChannel(): Unit = sandbox.close("Spark closed its worker")
  override def implConfigureBlocking(block: Boolean): Unit = ()

  override def shutdownOutput(): SocketChannel = {
    sandbox.closeInput()
    this
  }
  override def shutdownInput(): SocketChannel = this
  override def socket(): Socket = theSocket
  private lazy val theSocket = new DavySocket(this)

  override def isConnected: Boolean = isOpen
  override def isConnectionPending: Boolean = false
  override def connect(remote: SocketAddress): Boolean = true
  override def finishConnect(): Boolean = true
  override def getRemoteAddress: SocketAddress = null
  override def getLocalAddress: SocketAddress = null
  override def bind(local: SocketAddress): SocketChannel = this
  override def setOption[T](name: SocketOption[T], value: T): SocketChannel = this
  override def getOption[T](name: SocketOption[T]): T = null.asInstanceOf[T]
  override def supportedOptions(): JavaSet[SocketOption[_]] = Collections.emptySet()

  override def read(dsts: Array[ByteBuffer], offset: Int, length: Int): Long =
    dsts.slice(offset, offset + length).find(_.hasRemaining).fold(0L)(read(_).toLong)
  override def write(srcs: Array[ByteBuffer], offset: Int, length: Int): Long =
    srcs.slice(offset, offset + length).find(_.hasRemaining).fold(0L)(write(_).toLong)
}
