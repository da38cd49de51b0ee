package org.apache.spark.api.python

import java.io.{InputStream, OutputStream}
import java.net.Socket
import java.nio.ByteBuffer

/** The blocking view of a channel, for the parts of Spark that read and write streams. */
private[python] final class DavySocket(channel: DavyChannel) extends Socket {
  @volatile private var timeoutMillis = 0

  override def setSoTimeout(millis: Int): Unit = timeoutMillis = millis
  override def getSoTimeout: Int = timeoutMillis
  override def isConnected: Boolean = channel.isOpen
  override def isClosed: Boolean = !channel.isOpen
  override def close(): Unit = channel.close()
  override def shutdownOutput(): Unit = {
    val _ = channel.shutdownOutput()
  }

  override def getInputStream: InputStream = new InputStream {
    override def read(): Int = {
      val one = new Array[Byte](1)
      if (read(one, 0, 1) < 0) -1 else one(0) & 0xff
    }
    override def read(b: Array[Byte], off: Int, len: Int): Int =
      channel.readWithin(ByteBuffer.wrap(b, off, len), timeoutMillis)
    override def close(): Unit = channel.close()
  }

  override def getOutputStream: OutputStream = new OutputStream {
    override def write(b: Int): Unit = write(Array(b.toByte), 0, 1)
    override def write(b: Array[Byte], off: Int, len: Int): Unit = {
      val src = ByteBuffer.wrap(b, off, len)
      while (src.hasRemaining) channel.write(src)
    }
    override def close(): Unit = channel.close()
  }
}
