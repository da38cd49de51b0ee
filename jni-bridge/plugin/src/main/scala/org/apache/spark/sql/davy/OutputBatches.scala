package org.apache.spark.sql.davy

import java.nio.ByteBuffer
import scala.jdk.CollectionConverters._

import davy.{DavyException, Sandbox}
import org.apache.arrow.flatbuf.Message
import org.apache.arrow.memory.{ArrowBuf, BufferAllocator, ForeignAllocation}
import org.apache.arrow.vector.{VectorLoader, VectorSchemaRoot}
import org.apache.arrow.vector.complex.StructVector
import org.apache.arrow.vector.ipc.message.{ArrowFieldNode, ArrowRecordBatch, MessageSerializer}
import org.apache.arrow.vector.types.pojo.Schema
import org.apache.spark.sql.vectorized.{ArrowColumnVector, ColumnVector}

/**
 * Columns that a guest has given: Arrow vectors over memory that the native side owns.
 *
 * @param together rows of each result, if it is several
 */
private[davy] final class OutputBatch(root: VectorSchemaRoot, together: Option[Array[Int]]) {
  val rows: Int = root.getRowCount
  def slices: Array[Int] = together.getOrElse(Array(rows))
  val columns: Array[ArrowColumnVector] =
    root.getFieldVectors.asScala.map(InPlaceColumn.of(_)).toArray

  /** The fields of the one struct that the batch is. */
  def fields: Array[ColumnVector] = {
    val struct = root.getVector(0).asInstanceOf[StructVector]
    struct.getChildrenFromFields.asScala.map(InPlaceColumn.of(_)).toArray
  }
  def bytes: Long = root.getFieldVectors.asScala.map(_.getBufferSize.toLong).sum
  def close(): Unit = root.close()
}

private[davy] object OutputBatch {
  def schema(message: Array[Byte]): Schema =
    MessageSerializer.deserializeSchema(Message.getRootAsMessage(ByteBuffer.wrap(message)))

  /** The next batch of the sandbox; see [[davy.Sandboxes.takeBatch]] for the numbers. */
  def take(
      sandbox: Sandbox,
      schema: Schema,
      slices: Option[Array[Int]],
      allocator: BufferAllocator
  ): OutputBatch = {
    val told = sandbox.takeBatch()
    val (handle, address, size) = (told(0), told(1), told(2))
    val (rows, nodesEnd, bufferCount) = (told(3).toInt, 6 + 2 * told(4).toInt, told(5).toInt)
    val region: ArrowBuf =
      if (size == 0) {
        sandbox.freeBatch(handle)
        allocator.getEmpty
      } else
        allocator.wrapForeignAllocation(new ForeignAllocation(size, address) {
          override def release0(): Unit = sandbox.freeBatch(handle)
        })
    try {
      val nodes = (6 until nodesEnd by 2).map(i => new ArrowFieldNode(told(i), told(i + 1)))
      val buffers = (0 until bufferCount).map { i =>
        region.slice(told(nodesEnd + 2 * i), told(nodesEnd + 2 * i + 1))
      }
      val root = VectorSchemaRoot.create(schema, allocator)
      val batch = new ArrowRecordBatch(rows, nodes.asJava, buffers.asJava)
      try new VectorLoader(root).load(batch)
      finally batch.close()
      if (slices.exists(of => of.exists(_ < 0) || of.map(_.toLong).sum != rows)) {
        root.close()
        throw DavyException.guest(
          s"it sent $rows rows as results of ${slices.get.mkString("[", ", ", "]")}"
        )
      }
      new OutputBatch(root, slices)
    } finally if (size > 0) region.close()
  }
}
