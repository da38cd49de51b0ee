package org.apache.spark.davy

import java.io.{ByteArrayInputStream, DataInputStream, IOException, InputStream}
import java.util.Arrays

import davy.DavyException

/**
 * Bytes whose length the guest says: of a frame, of a message to a query's state, of a value in a pickle. Spark
 * allocates so many at once, and an executor whose heap has no room for them ends.
 */
private[spark] object FrameBytes {

  /** Up to this many are Spark's to read. */
  private val Small = 1 << 20

  /**
   * None for a short frame, and a length that is none: Spark has its words for it. A long one is read as it comes:
   * what was only said takes no memory.
   */
  def read(
      length: Int,
      from: DataInputStream,
      most: Long = Runtime.getRuntime.maxMemory / 2
  ): Option[Array[Byte]] =
    if (length <= Small) None
    else if (length > most)
      throw new DavyException(
        DavyException.Limit,
        f"the code sends ${length / 1048576.0}%.1f MiB in one piece, and half of the executor's heap is " +
          f"${most / 1048576.0}%.1f MiB. Give smaller values, or raise spark.executor.memory " +
          "(spark.driver.memory in local mode)"
      )
    else {
      var bytes = new Array[Byte](Small)
      from.readFully(bytes)
      while (bytes.length < length) {
        val before = bytes.length
        bytes = Arrays.copyOf(bytes, math.min(length.toLong, 2L * before).toInt)
        from.readFully(bytes, before, bytes.length - before)
      }
      Some(bytes)
    }

  /** A message to the server of a streaming query's state: its length, and its bytes. */
  def message(from: DataInputStream): Array[Byte] = bytes(from.readInt(), from)

  /** Values of a list for a streaming query's state, up to a length that is less than nothing. */
  def values(from: DataInputStream): Iterator[Array[Byte]] =
    Iterator.continually(from.readInt()).takeWhile(_ >= 0).map(bytes(_, from))

  private def bytes(length: Int, from: DataInputStream): Array[Byte] =
    read(length, from).getOrElse {
      val bytes = new Array[Byte](length)
      from.readFully(bytes)
      bytes
    }

  /** A value in a pickle, which is here: as the reader would say it, but before it makes room. */
  def pickled(length: Long, from: InputStream): Unit = from match {
    case all: ByteArrayInputStream if length > all.available =>
      throw new IOException("expected more bytes in input stream")
    case _ => ()
  }
}
