package org.apache.spark.sql.davy

import scala.collection.mutable.ArrayBuffer

import org.apache.spark.api.python.ChainedPythonFunctions
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.execution.python.EvalPythonExec.ArgumentMetadata
import org.apache.spark.sql.types.{StructField, StructType}

/** How Spark calls functions of whole groups. */
private[davy] final case class AggregateCall(
    funcs: Seq[(ChainedPythonFunctions, Long)],
    inputs: Seq[Expression],
    arguments: Array[Array[ArgumentMetadata]],
    schema: StructType
)

private[davy] object AggregateCall {
  def of(aggregates: Seq[AggregateExpression]): AggregateCall = {
    val calls = aggregates.map(a => chain(a.aggregateFunction.asInstanceOf[PythonFuncExpression]))
    val inputs = ArrayBuffer[Expression]()
    // Each argument once, in the order of first use.
    val arguments = calls.map { case (_, children) =>
      children.map { child =>
        val (name, value) = child match {
          case NamedArgumentExpression(name, value) => (Some(name), value)
          case plain                                => (None, plain)
        }
        val known = inputs.indexWhere(_.semanticEquals(value))
        if (known < 0) inputs += value
        argument(if (known < 0) inputs.length - 1 else known, name)
      }.toArray
    }.toArray
    val fields = inputs.zipWithIndex.map { case (e, i) => StructField(s"_$i", e.dataType) }
    AggregateCall(calls.map(_._1), inputs.toSeq, arguments, StructType(fields.toSeq))
  }

  /** Newer Spark has one field more: whether it is a table. */
  def argument(offset: Int, name: Option[String]): ArgumentMetadata = {
    val make = classOf[ArgumentMetadata].getConstructors.head
    val fields = Seq[AnyRef](Int.box(offset), name, Boolean.box(false)).take(make.getParameterCount)
    make.newInstance(fields: _*).asInstanceOf[ArgumentMetadata]
  }

  private def chain(
      func: PythonFuncExpression
  ): ((ChainedPythonFunctions, Long), Seq[Expression]) = func.children match {
    case Seq(inner: PythonFuncExpression) =>
      val ((chained, _), children) = chain(inner)
      ((ChainedPythonFunctions(chained.funcs :+ func.func), func.resultId.id), children)
    case children => ((ChainedPythonFunctions(Seq(func.func)), func.resultId.id), children)
  }
}
