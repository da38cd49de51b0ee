package org.apache.spark.davy

import scala.jdk.CollectionConverters._

import davy.DavyException
import org.apache.arrow.vector._

/**
 * Looks at the offsets of text in a batch of an Arrow stream. Spark reads text by address, from where
 * its offsets say; all other values Arrow Java reads within the bounds of their buffers.
 */
private[spark] object TextCheck {
  def apply(root: VectorSchemaRoot): Unit = root.getFieldVectors.forEach(vector(_))

  private def vector(v: FieldVector): Unit = {
    v match {
      case text: VarCharVector      => offsets(text, 4)(text.getOffsetBuffer.getInt(_).toLong)
      case text: LargeVarCharVector => offsets(text, 8)(text.getOffsetBuffer.getLong(_))
      // Reads each value, within bounds.
      case text: ViewVarCharVector => text.validateScalars()
      case _                       =>
    }
    v.getChildrenFromFields.asScala.foreach(vector)
  }

  private def offsets(text: FieldVector, width: Int)(offset: Long => Long): Unit = {
    val (rows, bytes) = (text.getValueCount, text.getDataBuffer.capacity)
    var last = 0L
    var i = 0
    while (rows > 0 && i <= rows) {
      val next = offset(i.toLong * width)
      if (next < last || next > bytes)
        throw DavyException.guest(
          s"text in its Arrow stream goes from byte $last to byte $next, of $bytes"
        )
      last = next
      i += 1
    }
  }
}
