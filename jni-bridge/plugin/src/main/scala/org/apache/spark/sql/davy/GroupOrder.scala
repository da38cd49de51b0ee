package org.apache.spark.sql.davy

import org.apache.spark.sql.catalyst.expressions.{RowOrdering, UnsafeRow}
import org.apache.spark.sql.types.DataType

/**
 * Where Spark's sort by the keys would bring each row.
 *
 * @param codes of the rows' groups
 * @param firstKeys the key of each code
 * @param radix whether Spark's sort would be a radix sort
 */
private[davy] final class GroupOrder(
    codes: Array[Int],
    firstKeys: Array[UnsafeRow],
    types: Seq[DataType],
    radix: Boolean
) {
  // The codes of the groups in the order of their keys.
  private val sorted: Array[Int] = {
    val byKey = RowOrdering.createNaturalAscendingOrdering(types)
    firstKeys.indices.toArray.sortWith((a, b) => byKey.compare(firstKeys(a), firstKeys(b)) < 0)
  }
  private val sizes = {
    val sizes = new Array[Int](firstKeys.length)
    codes.foreach(code => sizes(code) += 1)
    sizes
  }

  def keys: Array[UnsafeRow] = sorted.map(firstKeys)

  /** Rows of each group. */
  def counts: Array[Int] = sorted.map(sizes)

  /** The place of each row. */
  def ranks: Array[Int] = {
    val next = new Array[Int](sizes.length)
    sorted.foldLeft(0) { (begin, code) =>
      next(code) = begin
      begin + sizes(code)
    }
    val ranks = new Array[Int](codes.length)
    val ofNull = if (radix) firstKeys.indexWhere(_.isNullAt(0)) else -1
    val order = if (ofNull < 0) null else arrival(ofNull)
    var i = 0
    while (i < codes.length) {
      val row = if (order == null) i else order(i)
      ranks(row) = next(codes(row))
      next(codes(row)) += 1
      i += 1
    }
    ranks
  }

  /** Spark's radix sort moves, for each row without a key, the first one with a key to the end. */
  private def arrival(ofNull: Int): Array[Int] = {
    val order = new Array[Int](codes.length)
    var nulls = 0
    codes.indices.foreach { row =>
      order(row) = row
      if (codes(row) == ofNull) {
        order(row) = order(nulls)
        order(nulls) = row
        nulls += 1
      }
    }
    order
  }
}
