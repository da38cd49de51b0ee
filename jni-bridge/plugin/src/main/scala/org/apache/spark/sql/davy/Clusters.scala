package org.apache.spark.sql.davy

import scala.collection.mutable.{ArrayBuffer, ArrayBuilder}

import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.FieldVector
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.UnsafeRow

/** The rows of a task by groups: [[Clusters]], or rows that are sorted by the keys. */
sealed private[davy] trait GroupedRows

private[davy] final case class SortedRows(rows: Iterator[InternalRow]) extends GroupedRows

/**
 * All groups of a task, in the order of their keys, each as rows one after the other.
 *
 * @param keys of the groups
 * @param counts rows of the groups
 * @param columns of all rows
 * @param most rows of a batch
 */
private[davy] final class Clusters(
    val keys: Array[UnsafeRow],
    counts: Array[Int],
    columns: Array[FieldVector],
    most: Int,
    allocator: BufferAllocator,
    memory: ClusterMemory
) extends GroupedRows {
  private val rows = counts.sum
  private val bytesPerRow = math.max(columns.map(_.getBufferSize.toLong).sum / math.max(rows, 1), 1)

  def isEmpty: Boolean = counts.isEmpty

  /** The groups as packs, which whoever takes them closes. */
  def packs: Iterator[Pack] = new Iterator[Pack] {
    private var group = 0
    // Rows of the group, and of all, that are in packs already.
    private var taken = 0
    private var from = 0

    override def hasNext: Boolean = group < counts.length

    override def next(): Pack = {
      val slices = ArrayBuilder.make[Int]
      val ends = ArrayBuilder.make[Boolean]
      var size = 0
      while ({
        val slice = math.min(counts(group) - taken, most)
        taken += slice
        size += slice
        slices += slice
        ends += taken == counts(group)
        if (taken == counts(group)) {
          group += 1
          taken = 0
        }
        size * bytesPerRow < PackedGroups.Enough && hasNext
      }) ()
      val pack =
        Pack(Clusters.slice(columns, from, size, allocator), slices.result(), ends.result())
      from += size
      if (!hasNext) close()
      pack
    }
  }

  private def close(): Unit = {
    columns.foreach(_.close())
    memory.close()
  }
}

private[davy] object Clusters {
  private def slice(
      columns: Array[FieldVector],
      from: Int,
      rows: Int,
      allocator: BufferAllocator
  ): InputBatch = {
    val slices = ArrayBuffer[FieldVector]()
    try {
      columns.foreach { column =>
        val pair = column.getTransferPair(allocator)
        slices += pair.getTo.asInstanceOf[FieldVector]
        pair.splitAndTransfer(from, rows)
      }
      new InputBatch(slices.toArray, rows)
    } catch {
      case e: Throwable =>
        slices.foreach(_.close())
        throw e
    }
  }
}
