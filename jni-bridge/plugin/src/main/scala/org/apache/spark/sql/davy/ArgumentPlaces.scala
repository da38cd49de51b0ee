package org.apache.spark.sql.davy

import org.apache.spark.sql.catalyst.expressions.{Attribute, Expression}

/**
 * Where the arguments of functions are among gathered columns: a column of the child's serves as an
 * argument as it is, all else is computed and comes behind those.
 */
private[davy] final case class ArgumentPlaces(
    inputs: Seq[Expression],
    childOutput: Seq[Attribute]
) {
  // -1 for those that are computed.
  private val own = inputs.map(e => childOutput.indexWhere(a => e.semanticEquals(a)))

  val computed: Seq[Expression] = inputs.zip(own).collect { case (e, -1) => e }

  /** The inputs that are computed, by their numbers. */
  def added: Seq[Int] = own.zipWithIndex.collect { case (-1, i) => i }

  /** The column of each input. */
  def all: Array[Int] = {
    val next = Iterator.from(childOutput.length)
    own.map(i => if (i < 0) next.next() else i).toArray
  }
}
