package org.apache.spark.sql.davy

import java.io.{DataInputStream, EOFException, InputStream}
import java.nio.ByteBuffer

import davy.DavyException
import org.apache.arrow.flatbuf.{Message, MessageHeader}
import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.ipc.ArrowStreamReader
import org.apache.arrow.vector.util.ValueVectorUtility
import org.apache.arrow.vector.validate.ValidateUtil.ValidateException
import org.apache.spark.TaskContext

/**
 * Results of types that have no way through memory (views, dictionaries, unions), which the guest
 * writes as Arrow's stream: Spark reads some of these, and refuses the others in its own words.
 *
 * Every batch is looked at before its vectors take it (`BatchCheck`), and validated in full before anybody reads of it.
 * Arrow Java itself believes what such a stream says.
 */
private[davy] final class GuestStream(
    stream: DataInputStream,
    allocator: BufferAllocator,
    context: TaskContext
) {
  private val reader = new ArrowStreamReader(new BoundedMessages(stream), allocator)
  context.addTaskCompletionListener[Unit](_ => reader.close(false))

  /** None if the stream ends. */
  def next(): Option[OutputBatch] =
    if (checked(reader.loadNextBatch())) {
      val root = reader.getVectorSchemaRoot
      checked(ValueVectorUtility.validateFull(root))
      Some(new OutputBatch(root.slice(0), None))
    } else {
      reader.close(false)
      None
    }

  private def checked[T](body: => T): T =
    try body
    catch {
      case e @ (_: ValidateException | _: IndexOutOfBoundsException | _: IllegalArgumentException |
          _: IllegalStateException | _: NegativeArraySizeException | _: StackOverflowError) =>
        throw DavyException.guest(s"its stream of results is wrong: $e")
    }
}

/**
 * The messages of an Arrow stream, one at a time: Arrow's reader allocates what a message says of its
 * size, so all of it is here before the reader sees it.
 */
private[davy] final class BoundedMessages(stream: DataInputStream) extends InputStream {
  private var message = ByteBuffer.allocate(0)
  private var ended = false

  override def read(): Int = if (more()) message.get() & 0xff else -1

  override def read(into: Array[Byte], from: Int, length: Int): Int =
    if (length == 0) 0
    else if (!more()) -1
    else {
      val n = math.min(length, message.remaining)
      message.get(into, from, n)
      n
    }

  private def more(): Boolean = {
    if (!message.hasRemaining && !ended) message = next()
    message.hasRemaining
  }

  private def next(): ByteBuffer = {
    // The encapsulated message format: FFFFFFFF, then the length of the metadata, little-endian.
    val head = taken(8)
    val length = Integer.reverseBytes(ByteBuffer.wrap(head).getInt(4))
    if (ByteBuffer.wrap(head).getInt(0) != -1)
      throw DavyException.guest("what it wrote as a stream of results is none")
    if (length < 0 || length > BoundedMessages.MostMetadata)
      throw DavyException.guest(s"a message of its stream of results has $length bytes")
    ended = length == 0
    val metadata = taken(length)
    val body = if (ended) 0L else bodyOf(metadata)
    if (body < 0 || body > BoundedMessages.MostBody)
      throw DavyException.guest(s"a batch of its stream of results has $body bytes")
    ByteBuffer.wrap(head ++ metadata ++ taken(body.toInt))
  }

  private def bodyOf(metadata: Array[Byte]): Long =
    try {
      val message = Message.getRootAsMessage(ByteBuffer.wrap(metadata))
      if (message.headerType == MessageHeader.Schema) 0 else message.bodyLength
    } catch {
      case e: IndexOutOfBoundsException =>
        throw DavyException.guest(s"a message of its stream of results is wrong: $e")
    }

  /** Allocates as bytes come. */
  private def taken(length: Int): Array[Byte] = {
    val bytes = stream.readNBytes(length)
    if (bytes.length < length) throw new EOFException
    bytes
  }
}

private[davy] object BoundedMessages {

  /** As the native side has it for the schemas of batches. */
  private val MostMetadata = 16 << 20

  /** With its metadata it is one array. */
  private val MostBody = Int.MaxValue - (32L << 20)
}
