package org.apache.spark.sql.davy

import org.apache.arrow.memory.BufferAllocator
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.types.{StructField, StructType}

/**
 * One table of a grouped function: its rows arrive group by group.
 *
 * @param columns of the rows
 * @param struct whether the guest sees them as the fields of one struct
 */
private[davy] final class GroupTable(
    columns: StructType,
    struct: Boolean,
    settings: StockSettings,
    limits: BatchLimits,
    allocator: BufferAllocator
) {

  /** What the guest sees, in Spark's types. */
  val schema: StructType = if (struct) StructType(Seq(StructField("struct", columns))) else columns

  private val arrow = ArrowSchemas.of(schema, settings)
  private val shape = TableTask.shape(arrow, struct)

  val wire: Wire = Wire(arrow, shape.arguments, struct)

  // A group is as large as the one before, probably.
  private var expected = GroupTable.Least

  /** Each group has rows. */
  def groups(all: Iterator[Iterator[InternalRow]]): Iterator[Input] =
    new PackedGroups(all, shape, limits, allocator)

  /** @param evenEmpty whether a group without rows has a batch, too */
  def batches(rows: Iterator[InternalRow], evenEmpty: Boolean = false): Iterator[InputBatch] =
    new InputBatches(rows, shape, identity, limits, allocator, expected, evenEmpty).map { batch =>
      expected = math.max(GroupTable.Least, math.min(batch.rows, InputBatches.Usual))
      batch
    }
}

private[davy] object GroupTable {
  private val Least = 64
}
