package org.apache.spark.sql.davy

import java.io.DataOutputStream
import scala.collection.mutable.ArrayBuffer
import scala.jdk.CollectionConverters._

import davy.Sandbox
import org.apache.arrow.vector.FieldVector
import org.apache.arrow.vector.types.pojo.Schema

/**
 * How a batch goes to the guest: which of its columns, under which schema.
 *
 * @param message the schema, as an Arrow schema message
 * @param arguments the columns that the guest sees
 * @param struct whether they are the fields of one struct
 */
private[davy] final case class Wire(schema: Array[Byte], arguments: Array[Int], struct: Boolean) {

  /** Begins a table of the guest's: its schema, or after the first time the schema's number. */
  def begin(out: DataOutputStream, number: Int, first: Boolean): Unit =
    if (first) {
      out.writeInt(schema.length)
      out.write(schema)
    } else out.writeInt(-1 - number)

  /** Where the batch is, and where it will be. */
  def describe(batch: InputBatch): Put = {
    val put = new Put(batch.rows)
    if (struct) put.node(batch.rows, 0, bitmap = true)
    arguments.foreach(i => put.column(batch.columns(i)))
    put
  }
}

private[davy] object Wire {
  def apply(schema: Schema, arguments: Array[Int], struct: Boolean): Wire =
    Wire(schema.serializeAsMessage(), arguments, struct)
}

/** Buffers of one batch: for the host where they are, for the guest where they will be. */
private[davy] final class Put(rows: Int) {
  private val nodes = ArrayBuffer[Long]()
  private val hostPlaces = ArrayBuffer[Long]()
  private val guestPlaces = ArrayBuffer[Long]()
  private var size = 0L

  def places: Array[Long] = hostPlaces.toArray
  def bytes: Long = size

  /** Gives the batch to the sandbox; it stays unchanged until the guest has taken it. */
  def give(sandbox: Sandbox): Unit = {
    // False if the guest is gone: the reader hears why.
    val _ = if (size > 0) sandbox.putBatch(places)
  }

  def node(length: Int, nulls: Int, bitmap: Boolean): Unit = {
    nodes += length.toLong += nulls.toLong
    if (bitmap) buffer(0, 0)
  }

  def column(vector: FieldVector): Unit = {
    val nulls = vector.getNullCount
    node(vector.getValueCount, nulls, bitmap = false)
    val buffers = vector.getFieldBuffers.asScala
    buffers.zipWithIndex.foreach { case (b, i) =>
      // Without nulls nobody looks at the validity bitmap.
      if (i == 0 && nulls == 0) buffer(0, 0) else buffer(b.memoryAddress(), b.readableBytes())
    }
    vector.getChildrenFromFields.asScala.foreach(column)
  }

  private def buffer(address: Long, length: Long): Unit = {
    hostPlaces += address += length
    guestPlaces += size += length
    size += (length + Put.Alignment - 1) / Put.Alignment * Put.Alignment
  }

  /** The frame that tells the guest what to take. */
  def announce(out: DataOutputStream, frame: Int): Unit = {
    out.writeInt(frame)
    out.writeInt(rows)
    out.writeLong(size)
    out.writeInt(nodes.length / 2)
    out.writeInt(guestPlaces.length / 2)
    nodes.foreach(out.writeLong)
    guestPlaces.foreach(out.writeLong)
  }
}

private[davy] object Put {

  /** Every buffer starts at a multiple of this; the native side counts the same way. */
  val Alignment = 64L
}
