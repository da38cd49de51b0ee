package org.apache.spark.davy

import java.io.IOException
import java.nio.{ByteBuffer, ByteOrder}

import davy.DavyException
import org.apache.arrow.flatbuf.{DictionaryBatch, Message, MessageHeader, RecordBatch, Schema}
import org.apache.arrow.memory.{ArrowBuf, BufferAllocator, OutOfMemoryException}
import org.apache.arrow.vector.ipc.ReadChannel

/**
 * The messages of an Arrow stream that a guest writes, for `MessageChannelReader.readNext`, which allocates what
 * a message only says: of metadata on the heap, of a body outside. An executor without room for it ends.
 */
private[spark] object ArrowMessages {

  /** A body up to this length has its memory at once: as much as Arrow's allocator takes for any. */
  private val Small = 16L << 20

  /** How much longer each piece of a longer body is: a lie takes so many times what came. */
  private val Growth = 8

  /** A sandbox's addresses have 32 bits. */
  private val MostBody = 4L << 30

  /**
   * As the native side has it for the schemas of batches. A schema's objects take twenty times its bytes, so that
   * it is less where the heap is small.
   */
  def mostMetadata(heap: Long): Int = math.min(16L << 20, math.max(1L << 20, heap / 256)).toInt

  /** The next message, and its body if it is not a schema; None at the end of the stream. */
  def next(
      in: ReadChannel,
      allocator: BufferAllocator,
      heap: Long = Runtime.getRuntime.maxMemory
  ): Option[(Message, Option[ArrowBuf])] = {
    val first = in.bytesRead == 0
    metadata(in, mostMetadata(heap)).map { bytes =>
      val message =
        try looked(bytes, first)
        catch {
          case e: DavyException    => throw e
          case e: RuntimeException =>
            throw DavyException.guest(s"a message of its Arrow stream is wrong: $e")
        }
      val hasBody = message.headerType != MessageHeader.Schema
      (message, if (hasBody) Some(body(in, message.bodyLength, allocator)) else None)
    }
  }

  private def metadata(in: ReadChannel, most: Int): Option[ByteBuffer] =
    number(in).flatMap(n => if (n == -1) number(in) else Some(n)).filter(_ != 0).map { length =>
      if (length < 0)
        throw DavyException.guest(s"a message of its Arrow stream has $length bytes of metadata")
      if (length > most)
        throw limit(
          s"the code sends an Arrow message with ${mib(length)} of metadata, and ${mib(most)} are " +
            "taken. Give fewer columns, or raise spark.executor.memory (spark.driver.memory in local mode)"
        )
      val bytes = ByteBuffer.allocate(length)
      if (in.readFully(bytes) != length)
        throw new IOException("Unexpected end of stream trying to read message.")
      bytes.rewind()
    }

  private def number(in: ReadChannel): Option[Int] = {
    val bytes = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN)
    if (in.readFully(bytes) == 4) Some(bytes.getInt(0)) else None
  }

  /** What Arrow's reader refuses is refused here, where it has no body yet: the reader does not free it. */
  private def looked(bytes: ByteBuffer, first: Boolean): Message = {
    val message = Message.getRootAsMessage(bytes)
    if (first && message.headerType != MessageHeader.Schema)
      throw DavyException.guest("its Arrow stream has no schema")
    message.headerType match {
      case MessageHeader.Schema =>
        new SchemaCheck(bytes.capacity)(message.header(new Schema).asInstanceOf[Schema])
      case MessageHeader.RecordBatch =>
        batch(message.header(new RecordBatch).asInstanceOf[RecordBatch], message.bodyLength)
      case MessageHeader.DictionaryBatch =>
        val dictionary = message.header(new DictionaryBatch).asInstanceOf[DictionaryBatch]
        batch(dictionary.data, message.bodyLength)
      case kind => throw DavyException.guest(s"its Arrow stream has a message of kind $kind")
    }
    message
  }

  private def batch(batch: RecordBatch, body: Long): Unit = {
    // Arrow Java believes the lengths in it, and no worker of Spark's compresses.
    if (batch.compression != null)
      throw DavyException.guest("a batch of its Arrow stream is compressed")
    if (body < 0) throw DavyException.guest(s"a batch of its Arrow stream has $body bytes")
    rows(batch.length)
    for (i <- 0 until batch.nodesLength) {
      rows(batch.nodes(i).length)
      rows(batch.nodes(i).nullCount)
    }
    for (i <- 0 until batch.variadicBufferCountsLength) rows(batch.variadicBufferCounts(i))
    // A part of a body that is many columns' would be many times as much in a row.
    var others = 0L
    for (i <- 0 until batch.buffersLength) {
      val (from, length) = (batch.buffers(i).offset, batch.buffers(i).length)
      if (from < 0 || from > body || length < 0 || length > body - math.max(from, others))
        throw DavyException.guest(
          s"a buffer in its Arrow stream has $length bytes from $from, and others $others, of $body"
        )
      others += length
    }
  }

  private def rows(n: Long): Unit =
    if (n < 0 || n > Int.MaxValue)
      throw DavyException.guest(s"a batch of its Arrow stream has a count of $n")

  /** Memory is taken as bytes come. */
  private def body(in: ReadChannel, length: Long, allocator: BufferAllocator): ArrowBuf = {
    if (length > MostBody)
      throw limit(
        s"the code sends a batch of ${mib(length)}, and a sandbox holds ${mib(MostBody)} at most. " +
          "Give smaller batches"
      )
    def shorter(n: Long) = (n + Growth - 1) / Growth
    val pieces = Iterator.iterate(length)(shorter).takeWhile(_ > Small).toSeq.reverse
    val first = pieces.headOption.fold(length)(shorter)
    pieces.foldLeft(read(in, allocated(allocator, first, length), first)) { (before, piece) =>
      val longer =
        try {
          val longer = allocated(allocator, piece, length)
          longer.setBytes(0, before, 0, before.writerIndex)
          longer.writerIndex(before.writerIndex)
        } finally before.close()
      read(in, longer, piece)
    }
  }

  private def read(in: ReadChannel, into: ArrowBuf, upTo: Long): ArrowBuf =
    try {
      val left = upTo - into.writerIndex
      if (in.readFully(into, left) != left)
        throw new IOException("Unexpected end of input trying to read batch.")
      into
    } catch {
      case e: Throwable =>
        into.close()
        throw e
    }

  /** @param length of the whole body */
  private def allocated(allocator: BufferAllocator, bytes: Long, length: Long): ArrowBuf =
    try allocator.buffer(bytes)
    catch {
      // Not as the cause: an executor ends of an error that has an OutOfMemoryError below it.
      case e @ (_: OutOfMemoryException | _: OutOfMemoryError) =>
        throw limit(
          s"the executor has no room outside of its heap for a batch of ${mib(length)} that the code " +
            s"sends (${e.getMessage}). Give smaller batches, or raise -XX:MaxDirectMemorySize in " +
            "spark.executor.extraJavaOptions (the heap's size, unless set)"
        )
    }

  private def limit(said: String) = new DavyException(DavyException.Limit, said)

  private def mib(bytes: Long): String = f"${bytes / 1048576.0}%.1f MiB"
}
