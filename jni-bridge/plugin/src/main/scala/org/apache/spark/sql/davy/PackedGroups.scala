package org.apache.spark.sql.davy

import scala.collection.mutable.ArrayBuilder

import org.apache.arrow.memory.BufferAllocator
import org.apache.spark.sql.catalyst.InternalRow

/**
 * Groups → packs. The guest sees each group as slices of a pack: a batch of its own costs more than
 * many a group's function.
 *
 * A slice ends where Spark ends a batch, so a group may go on in the next pack.
 */
private[davy] final class PackedGroups(
    groups: Iterator[Iterator[InternalRow]],
    shape: BatchShape,
    limits: BatchLimits,
    allocator: BufferAllocator
) extends Iterator[Pack] {
  // The one that goes on. One that has ended must not be asked again: it would show the next one's rows.
  private var group: Option[Iterator[InternalRow]] = None
  private var expected = 0

  override def hasNext: Boolean = group.isDefined || groups.hasNext

  override def next(): Pack = {
    val filler = new BatchFiller(shape, identity, limits, allocator, math.max(expected, 64))
    val slices = ArrayBuilder.make[Int]
    val ends = ArrayBuilder.make[Boolean]
    try {
      while ({
        val rows = group.getOrElse(groups.next())
        slices += filler.add(rows)
        group = Option.when(rows.hasNext)(rows)
        ends += group.isEmpty
        filler.bytes < PackedGroups.Enough && hasNext
      }) ()
      expected = math.min(filler.rows, InputBatches.Usual)
      Pack(filler.finish(), slices.result(), ends.result())
    } catch {
      case e: Throwable =>
        filler.close()
        throw e
    }
  }
}

private[davy] object PackedGroups {

  /** Bytes after which a pack is full. */
  val Enough: Long = 256 << 10
}
