package org.apache.spark.sql.davy

import org.apache.arrow.vector._
import org.apache.spark.sql.types._
import org.apache.spark.unsafe.Platform

/** Writes the values of columns to other places: row i of all chunks together goes to row `ranks(i)`. */
private[davy] object ColumnScatter {

  /** Whether columns of the type can be scattered, if Arrow gives them 32-bit offsets. */
  def serves(kind: DataType): Boolean = kind match {
    case _: ArrayType | _: MapType | _: StructType => false
    case _                                         => true
  }

  /** @param target a fresh vector of the chunks' type; it gets all rows */
  def apply(chunks: Seq[FieldVector], ranks: Array[Int], target: FieldVector): Unit = {
    target match {
      case to: BitVector               => bits(chunks, ranks, to)
      case to: BaseFixedWidthVector    => fixed(chunks, ranks, to)
      case to: BaseVariableWidthVector => variable(chunks, ranks, to)
      case to => throw new IllegalStateException(s"a column of ${to.getField}")
    }
    foreachNull(chunks)(i => BitVectorHelper.unsetBit(target.getValidityBuffer, ranks(i)))
  }

  private def bits(chunks: Seq[FieldVector], ranks: Array[Int], target: BitVector): Unit = {
    begin(target, ranks.length)
    foreachRow(chunks) { (chunk, i, at) =>
      if (BitVectorHelper.get(chunk.getDataBuffer, i) != 0)
        BitVectorHelper.setBit(target.getDataBuffer, ranks(at).toLong)
    }
  }

  private def fixed(
      chunks: Seq[FieldVector],
      ranks: Array[Int],
      target: BaseFixedWidthVector
  ): Unit = {
    begin(target, ranks.length)
    val (to, width) = (target.getDataBufferAddress, target.getTypeWidth)
    var at = 0
    chunks.foreach { chunk =>
      val rows = chunk.getValueCount
      val from = chunk.asInstanceOf[BaseFixedWidthVector].getDataBufferAddress
      var i = 0
      width match {
        case 8 =>
          while (i < rows) {
            Platform.putLong(null, to + 8L * ranks(at + i), Platform.getLong(null, from + 8L * i))
            i += 1
          }
        case 4 =>
          while (i < rows) {
            Platform.putInt(null, to + 4L * ranks(at + i), Platform.getInt(null, from + 4L * i))
            i += 1
          }
        case _ =>
          while (i < rows) {
            val place = to + width.toLong * ranks(at + i)
            Platform.copyMemory(null, from + width.toLong * i, null, place, width)
            i += 1
          }
      }
      at += rows
    }
  }

  private def variable(
      chunks: Seq[FieldVector],
      ranks: Array[Int],
      target: BaseVariableWidthVector
  ): Unit = {
    val rows = ranks.length
    val sizes = chunks.map(_.asInstanceOf[BaseVariableWidthVector])
    target.allocateNew(sizes.map(v => v.getEndOffset(v.getValueCount - 1).toLong).sum, rows)
    val offsets = target.getOffsetBufferAddress
    // The length of each value where its end will be, then the ends.
    foreachRow(chunks) { (chunk, i, at) =>
      val from = chunk.asInstanceOf[BaseVariableWidthVector]
      Platform.putInt(
        null,
        offsets + 4L * (ranks(at) + 1),
        from.getEndOffset(i) - from.getStartOffset(i)
      )
    }
    var row = 1
    while (row <= rows) {
      val end =
        Platform.getInt(null, offsets + 4L * (row - 1)) + Platform.getInt(null, offsets + 4L * row)
      Platform.putInt(null, offsets + 4L * row, end)
      row += 1
    }
    val to = target.getDataBufferAddress
    foreachRow(chunks) { (chunk, i, at) =>
      val from = chunk.asInstanceOf[BaseVariableWidthVector]
      val begin = from.getStartOffset(i)
      val place = to + Platform.getInt(null, offsets + 4L * ranks(at))
      Platform.copyMemory(
        null,
        from.getDataBufferAddress + begin,
        null,
        place,
        from.getEndOffset(i) - begin
      )
    }
    target.setLastSet(rows - 1)
    target.setValueCount(rows)
    allValid(target, rows)
  }

  private def begin(target: BaseFixedWidthVector, rows: Int): Unit = {
    target.allocateNew(rows)
    target.setValueCount(rows)
    allValid(target, rows)
  }

  private def allValid(target: FieldVector, rows: Int): Unit =
    Platform.setMemory(
      target.getValidityBuffer.memoryAddress(),
      -1.toByte,
      ColumnWriter.bitmapBytes(rows).toLong
    )

  private def foreachRow(chunks: Seq[FieldVector])(use: (FieldVector, Int, Int) => Unit): Unit = {
    var at = 0
    chunks.foreach { chunk =>
      var i = 0
      while (i < chunk.getValueCount) {
        use(chunk, i, at + i)
        i += 1
      }
      at += i
    }
  }

  private def foreachNull(chunks: Seq[FieldVector])(use: Int => Unit): Unit = {
    var at = 0
    chunks.foreach { chunk =>
      val rows = chunk.getValueCount
      if (chunk.getNullCount > 0) (0 until rows).foreach(i => if (chunk.isNull(i)) use(at + i))
      at += rows
    }
  }
}
