package org.apache.spark.sql.davy

import java.util.HashMap

import org.apache.arrow.vector._
import org.apache.spark.unsafe.Platform
import org.apache.spark.unsafe.types.UTF8String

/** Numbers the distinct keys of rows in the order in which they first appear: 0, 1, and so on. */
private[davy] final class KeyCodes(width: Int) {
  private val columns = Array.fill(width)(new ColumnCodes)
  // What is known of the columns before, with one column more.
  private val pairs = Array.fill(width - 1)(new LongCodes)

  /** How many keys there are so far. */
  def size: Int = if (width == 1) columns.head.size else pairs.last.size

  /** @param keys the columns of the key, as many as `width` */
  def of(keys: Seq[FieldVector], rows: Int): Array[Int] = {
    val codes = columns.zip(keys).map { case (column, vector) => column.of(vector, rows) }
    val found = codes.head
    var i = 1
    while (i < width) {
      val (pair, right) = (pairs(i - 1), codes(i))
      var row = 0
      while (row < rows) {
        found(row) = pair.of(found(row).toLong << 32 | right(row))
        row += 1
      }
      i += 1
    }
    found
  }
}

/** The same for one column; null is a value. */
private final class ColumnCodes {
  private val longs = new LongCodes
  private val texts = new HashMap[UTF8String, Integer]
  private var ofNull = -1
  private var next = 0

  def size: Int = next

  def of(vector: FieldVector, rows: Int): Array[Int] = {
    val code: Int => Int = vector match {
      case v: BitVector               => i => number(BitVectorHelper.get(v.getDataBuffer, i).toLong)
      case v: BaseFixedWidthVector    => fixed(v.getDataBufferAddress, v.getTypeWidth)
      case v: BaseVariableWidthVector => i => text(v, i)
      case v                          => throw new IllegalStateException(s"a key of ${v.getField}")
    }
    val nulls = vector.getNullCount > 0
    val found = new Array[Int](rows)
    var i = 0
    while (i < rows) {
      found(i) = if (nulls && vector.isNull(i)) codeOfNull() else code(i)
      i += 1
    }
    found
  }

  private def fixed(values: Long, width: Int): Int => Int = width match {
    case 1 => i => number(Platform.getByte(null, values + i).toLong)
    case 2 => i => number(Platform.getShort(null, values + 2L * i).toLong)
    case 4 => i => number(Platform.getInt(null, values + 4L * i).toLong)
    case 8 => i => number(Platform.getLong(null, values + 8L * i))
  }

  private def number(value: Long): Int = {
    val code = longs.of(value, next)
    if (code == next) next += 1
    code
  }

  private def text(vector: BaseVariableWidthVector, i: Int): Int = {
    val begin = vector.getStartOffset(i)
    val bytes = vector.getEndOffset(i) - begin
    val value = UTF8String.fromAddress(null, vector.getDataBufferAddress + begin, bytes)
    val known = texts.get(value)
    if (known != null) known
    else {
      texts.put(value.copy(), next)
      next += 1
      next - 1
    }
  }

  private def codeOfNull(): Int = {
    if (ofNull < 0) {
      ofNull = next
      next += 1
    }
    ofNull
  }
}

/** Long → code: open addressing, at most half full. */
private final class LongCodes {
  private var keys = new Array[Long](1024)
  private var codes = Array.fill(1024)(-1)
  private var count = 0

  def size: Int = count

  /** The code of `key`, which is `fresh` if it has none yet. */
  def of(key: Long, fresh: Int): Int = {
    val at = place(key)
    if (codes(at) >= 0) codes(at)
    else {
      keys(at) = key
      codes(at) = fresh
      count += 1
      if (2 * count > keys.length) grow()
      fresh
    }
  }

  def of(key: Long): Int = of(key, count)

  private def place(key: Long): Int = {
    val mask = keys.length - 1
    // Multiplied by 2^64 divided by the golden ratio: the high bits depend on all of the key.
    var at = (key * 0x9e3779b97f4a7c15L >>> 32).toInt & mask
    while (codes(at) >= 0 && keys(at) != key) at = at + 1 & mask
    at
  }

  private def grow(): Unit = {
    val (oldKeys, oldCodes) = (keys, codes)
    keys = new Array[Long](2 * oldKeys.length)
    codes = Array.fill(keys.length)(-1)
    oldKeys.indices.foreach { i =>
      if (oldCodes(i) >= 0) {
        val at = place(oldKeys(i))
        keys(at) = oldKeys(i)
        codes(at) = oldCodes(i)
      }
    }
  }
}
