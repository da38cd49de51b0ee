package org.apache.spark.davy

import scala.jdk.CollectionConverters._

import davy.DavyException
import org.apache.arrow.memory.ArrowBuf
import org.apache.arrow.vector.{FieldVector, TypeLayout}
import org.apache.arrow.vector.compression.NoCompressionCodec
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch
import org.apache.arrow.vector.types.UnionMode
import org.apache.arrow.vector.types.pojo.{ArrowType, Field}

/**
 * Looks at the batch of an Arrow stream before its vectors take it: whether the rows that it says have bytes. Arrow
 * Java makes vectors longer, up to what was said. Where text and lists begin and end comes with it: Spark reads text
 * by address, from where its offsets say, and makes room for as many bytes and values as they say; all else is read
 * within the bounds of its buffer.
 */
private[spark] object BatchCheck {

  /** @param vectors null if the batch is for a dictionary that the schema does not have */
  def apply(vectors: java.util.List[FieldVector], batch: ArrowRecordBatch): Unit =
    try {
      if (vectors == null)
        throw DavyException.guest("its Arrow stream has a dictionary of no column")
      // Compressed ones come from Spark alone: in a guest's stream they were refused.
      if (batch.getBodyCompression.getCodec == NoCompressionCodec.COMPRESSION_TYPE)
        new BatchCheck(batch).columns(vectors)
    } catch {
      case e: Throwable =>
        // The reader does not.
        batch.close()
        throw e
    }

  /** Rows that take no bytes (structs without fields, missing validity) may have this much memory, and ... */
  private val Free = 1L << 20

  /** ... so many times the body. */
  private val FreeOfBody = 4
}

private[davy] final class BatchCheck(batch: ArrowRecordBatch) {
  import BatchCheck._

  private val nodes = batch.getNodes.iterator
  private val buffers = batch.getBuffers.iterator
  private val counts = batch.getVariadicBufferCounts.iterator
  private val body = batch.getBuffers.asScala.iterator.map(_.capacity).sum
  private var free = 0L

  def columns(vectors: java.util.List[FieldVector]): Unit = vectors.forEach { vector =>
    val rows = column(vector.getField)
    if (rows != batch.getLength) throw wrong("a column", s"has $rows rows, of ${batch.getLength}")
  }

  /** How many rows it has. */
  private def column(field: Field): Long = {
    val rows = next(nodes).getLength.toLong
    val kind = storage(field.getType)
    val bits = if (hasValidity(kind)) Some(validity(rows)) else None
    kind match {
      case _: ArrowType.Null                               => ()
      case _: ArrowType.Utf8                               => values(rows, 4, "text")
      case _: ArrowType.LargeUtf8                          => values(rows, 8, "text")
      case _: ArrowType.Binary                             => values(rows, 4, "a value")
      case _: ArrowType.LargeBinary                        => values(rows, 8, "a value")
      case _: ArrowType.Utf8View | _: ArrowType.BinaryView => views(rows, bits.get)
      case _: ArrowType.List | _: ArrowType.Map            => list(field, rows, 4)
      case _: ArrowType.LargeList                          => list(field, rows, 8)
      case _: ArrowType.ListView                           => listView(field, rows, 4)
      case _: ArrowType.LargeListView                      => listView(field, rows, 8)
      case list: ArrowType.FixedSizeList                   =>
        unpaid(rows)
        children(field, rows * list.getListSize)
      case _: ArrowType.Struct =>
        unpaid(rows)
        children(field, rows)
      case union: ArrowType.Union if union.getMode == UnionMode.Sparse =>
        covered(next(buffers), rows, 8)
        children(field, rows)
      case union: ArrowType.Union            => dense(field, rows, union)
      case _: ArrowType.RunEndEncoded        => children(field, 0)
      case binary: ArrowType.FixedSizeBinary =>
        covered(next(buffers), rows, 8L * binary.getByteWidth)
      case other =>
        covered(
          next(buffers),
          rows,
          TypeLayout.getTypeLayout(other).getBufferLayouts.get(1).getTypeBitWidth
        )
    }
    if (bits.forall(_.capacity == 0)) unpaid(rows)
    rows
  }

  private def hasValidity(kind: ArrowType): Boolean = kind match {
    case _: ArrowType.Null | _: ArrowType.Union | _: ArrowType.RunEndEncoded => false
    case _                                                                   => true
  }

  private def storage(kind: ArrowType): ArrowType = kind match {
    case extension: ArrowType.ExtensionType => storage(extension.storageType)
    case other                              => other
  }

  /** Where it is missing, Arrow Java makes it. */
  private def validity(rows: Long): ArrowBuf = {
    val bits = next(buffers)
    if (bits.capacity > 0) covered(bits, rows, 1)
    bits
  }

  /** Rows that no bytes stand for: as many as nearly nothing takes are fine. */
  private def unpaid(rows: Long): Unit = {
    free += rows / 8
    if (free > Free + FreeOfBody * body)
      throw new DavyException(
        DavyException.Limit,
        s"the code sends a batch of $rows rows with $body bytes for all of its values. Give smaller batches"
      )
  }

  private def covered(buffer: ArrowBuf, rows: Long, bits: Long): Unit =
    if (bits == 0) unpaid(rows)
    else if (buffer.capacity * 8 / bits < rows)
      throw wrong("a column", s"has $rows values of $bits bits, in ${buffer.capacity} bytes")

  private def values(rows: Long, width: Int, what: String): Unit = {
    val (offsets, data) = (next(buffers), next(buffers))
    ascending(offsets, rows, width, data.capacity, what, "byte")
  }

  private def list(field: Field, rows: Long, width: Int): Unit = {
    val offsets = next(buffers)
    val values = column(child(field))
    ascending(offsets, rows, width, values, "a list", "value")
  }

  private def ascending(
      offsets: ArrowBuf,
      rows: Long,
      width: Int,
      most: Long,
      what: String,
      unit: String
  ): Unit = if (rows > 0) {
    covered(offsets, rows + 1, width * 8L)
    var last = 0L
    var i = 0L
    while (i <= rows) {
      val next = number(offsets, i, width)
      if (next < last || next > most)
        throw wrong(what, s"goes from $unit $last to $unit $next, of $most")
      last = next
      i += 1
    }
  }

  private def number(numbers: ArrowBuf, i: Long, width: Int): Long =
    if (width == 4) numbers.getInt(i * 4).toLong else numbers.getLong(i * 8)

  /** A view: its length and, where that is more than twelve, a prefix, which buffer and from which byte. */
  private def views(rows: Long, bits: ArrowBuf): Unit = {
    val views = next(buffers)
    val data = Seq.fill(next(counts).toInt)(next(buffers)).toIndexedSeq
    covered(views, rows, 128)
    def isNull(i: Long) = bits.capacity > 0 && (bits.getByte(i / 8) >> (i % 8).toInt & 1) == 0
    for (i <- 0L until rows) {
      val length = views.getInt(16 * i)
      if ((length < 0 || length > 12) && !isNull(i)) {
        val (which, from) = (views.getInt(16 * i + 8), views.getInt(16 * i + 12))
        val bytes = data.lift(which).fold(0L)(_.capacity)
        if (length < 0 || from < 0 || from.toLong + length > bytes)
          throw wrong("a view", s"has $length bytes from $from of buffer $which, of $bytes")
      }
    }
  }

  private def listView(field: Field, rows: Long, width: Int): Unit = {
    val (offsets, sizes) = (next(buffers), next(buffers))
    covered(offsets, rows, width * 8L)
    covered(sizes, rows, width * 8L)
    val values = column(child(field))
    for (i <- 0L until rows) {
      val (from, size) = (number(offsets, i, width), number(sizes, i, width))
      if (from < 0 || size < 0 || from > values || size > values - from)
        throw wrong("a list", s"has $size values from $from, of $values")
    }
  }

  /** Its children are made as long as its rows are of their kind. */
  private def dense(field: Field, rows: Long, union: ArrowType.Union): Unit = {
    val (kinds, offsets) = (next(buffers), next(buffers))
    covered(kinds, rows, 8)
    covered(offsets, rows, 32)
    val lengths = field.getChildren.asScala.map(column).toIndexedSeq
    val ids = Option(union.getTypeIds).fold(lengths.indices.toIndexedSeq)(_.toIndexedSeq)
    val left = ids.zip(lengths).to(scala.collection.mutable.Map)
    for (i <- 0L until rows) {
      val kind = kinds.getByte(i).toInt
      left(kind) = left.getOrElse(kind, 0L) - 1
      if (left(kind) < 0) throw wrong("a union", s"has more rows of kind $kind than values")
    }
  }

  private def child(field: Field): Field =
    field.getChildren.asScala.headOption.getOrElse(throw wrong("a list", "has no values"))

  private def children(field: Field, least: Long): Unit = field.getChildren.forEach { child =>
    val rows = column(child)
    if (rows < least) throw wrong("a field", s"has $rows rows, of $least")
  }

  private def next[T](parts: java.util.Iterator[T]): T =
    if (parts.hasNext) parts.next() else throw wrong("a batch", "has fewer parts than its schema")

  private def wrong(what: String, is: String): DavyException =
    DavyException.guest(s"$what in its Arrow stream $is")
}
