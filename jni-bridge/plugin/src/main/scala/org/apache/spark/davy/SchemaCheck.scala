package org.apache.spark.davy

import java.nio.ByteBuffer

import davy.DavyException
import org.apache.arrow.flatbuf.{Field, KeyValue, Schema, Timestamp, Type, Union}

/**
 * Looks through the schema of an Arrow stream before Arrow Java makes objects of it. Parts of such a message can
 * be shared, so that a few bytes describe more fields than a heap holds. No writer shares them: each is counted
 * each time that it is told, and all together are no more than the message.
 *
 * @param bytes of the message
 */
private[davy] final class SchemaCheck(bytes: Int) {
  import SchemaCheck._
  private var told = 0L

  def apply(schema: Schema): Unit = {
    for (i <- 0 until schema.customMetadataLength) metadata(schema.customMetadata(i))
    for (i <- 0 until schema.fieldsLength) field(schema.fields(i), 1)
  }

  private def field(field: Field, depth: Int): Unit = {
    if (depth > Deepest)
      throw DavyException.guest(s"the schema of its Arrow stream is more than $Deepest fields deep")
    tell(Table)
    text(field.nameAsByteBuffer)
    field.typeType match {
      case Type.Timestamp =>
        text(field.`type`(new Timestamp).asInstanceOf[Timestamp].timezoneAsByteBuffer)
      case Type.Union => tell(4L * field.`type`(new Union).asInstanceOf[Union].typeIdsLength)
      case _          =>
    }
    for (i <- 0 until field.customMetadataLength) metadata(field.customMetadata(i))
    for (i <- 0 until field.childrenLength) this.field(field.children(i), depth + 1)
  }

  private def metadata(pair: KeyValue): Unit = {
    tell(Table)
    text(pair.keyAsByteBuffer)
    text(pair.valueAsByteBuffer)
  }

  private def text(bytes: ByteBuffer): Unit = if (bytes != null) tell(bytes.remaining.toLong)

  private def tell(more: Long): Unit = {
    told += more
    if (more < 0 || told > bytes)
      throw DavyException.guest(
        s"the schema of its Arrow stream tells more than its $bytes bytes hold"
      )
  }
}

private[davy] object SchemaCheck {

  /** Batches of more than 64 pyarrow refuses itself, but only after it has written their schema. */
  private val Deepest = 256

  /** The least that a field takes, or a key and its value: where its table is, and what is where in it. */
  private val Table = 16L
}
