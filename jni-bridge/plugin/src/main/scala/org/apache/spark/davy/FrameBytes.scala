package org.apache.spark.davy

import java.io.DataInputStream
import java.util.Arrays

import davy.DavyException

/**
 * Bytes of a frame whose length the guest says. Spark allocates so many at once, and an executor whose heap
 * has no room for them ends.
 */
private[spark] object FrameBytes {

  /** Up to this many are Spark's to read. */
  private val Small = 1 << 20

  /** None for a short frame, and a length that is none: Spark has its words for it. A long one is read as it comes: what was only said takes no memory. */
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
}
