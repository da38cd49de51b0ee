package org.apache.spark.sql.davy

/** What the guest gets at once. */
sealed private[davy] trait Input

/**
 * The batches of each table. A scalar function and a map have one group of one table; a cogrouped
 * function has groups of two.
 */
private[davy] final case class Group(tables: Seq[Iterator[InputBatch]]) extends Input

/**
 * Small groups of one table in one batch, one after the other.
 *
 * @param slices rows of each batch that Spark would have made of them, in order
 * @param ends whether a group ends with the slice
 */
private[davy] final case class Pack(batch: InputBatch, slices: Array[Int], ends: Array[Boolean])
    extends Input
