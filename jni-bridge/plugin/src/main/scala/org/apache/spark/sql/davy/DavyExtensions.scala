package org.apache.spark.sql.davy

import org.apache.spark.SPARK_VERSION
import org.apache.spark.api.python.PythonEvalType._
import org.apache.spark.sql.SparkSessionExtensions
import org.apache.spark.sql.catalyst.expressions.{Expression, PythonUDF}
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.execution.{ColumnarRule, RowToColumnarExec, SparkPlan, UnaryExecNode}
import org.apache.spark.sql.execution.python.{ArrowEvalPythonExec, MapInArrowExec, MapInPandasExec}
import org.apache.spark.sql.internal.SQLConf
import org.slf4j.LoggerFactory

/** Davy's part of the planner; the plugin puts it into `spark.sql.extensions`. */
final class DavyExtensions extends (SparkSessionExtensions => Unit) {
  override def apply(extensions: SparkSessionExtensions): Unit =
    extensions.injectColumnar(_ => DavyColumnarRule)
}

/** Replaces Spark's nodes for Arrow functions by Davy's, which pass batches through memory. */
object DavyColumnarRule extends ColumnarRule {
  val Key = "spark.davy.columnar"
  private val log = LoggerFactory.getLogger("davy.DavyColumnarRule")

  // Newer than the Spark that this is compiled against.
  private val ScalarArrow = 250
  private val ScalarArrowIter = 251

  private val Scalar = Set(
    SQL_ARROW_BATCHED_UDF,
    SQL_SCALAR_PANDAS_UDF,
    SQL_SCALAR_PANDAS_ITER_UDF,
    ScalarArrow,
    ScalarArrowIter
  )

  override def preColumnarTransitions: Rule[SparkPlan] = plan => {
    if (!SQLConf.get.getConfString(Key, "true").toBoolean) plan
    else
      plan.transform {
        case node: ArrowEvalPythonExec => served(node, scalar(node))
        case node: MapInPandasExec     =>
          served(node, map(node, node.func, SQL_MAP_PANDAS_ITER_UDF, node.isBarrier, node.profile))
        case node: MapInArrowExec =>
          served(node, map(node, node.func, SQL_MAP_ARROW_ITER_UDF, node.isBarrier, node.profile))
      }
  }

  /** Spark has wrapped children that give rows: Davy's nodes take them as they are. */
  override def postColumnarTransitions: Rule[SparkPlan] = plan =>
    plan.transform { case node: ColumnarPythonExec =>
      node.child match {
        case RowToColumnarExec(rows) => node.withNewChildren(Seq(rows))
        case _                       => node
      }
    }

  private def served(stock: SparkPlan, ours: Either[String, SparkPlan]): SparkPlan = ours match {
    case Right(node) =>
      node.copyTagsFrom(stock)
      node
    case Left(reason) =>
      log.info(s"${stock.nodeName} stays with the byte channel: $reason")
      stock
  }

  private def scalar(node: ArrowEvalPythonExec): Either[String, SparkPlan] =
    for {
      _ <- check(Scalar(node.evalType), s"the kind ${node.evalType}")
      _ <- common(node.child)
      inputs = ScalarStage.inputs(node.udfs)
      _ <- check(inputs.nonEmpty, "a function without arguments")
      _ <- types("an argument", inputs.map(_.dataType))
      _ <- types("a result", node.resultAttrs.map(_.dataType))
    } yield {
      val settings = StockSettings.of(node, node.evalType, node.conf, Map.empty)
      DavyArrowEvalPythonExec(node.udfs, node.resultAttrs, node.child, node.evalType, settings)
    }

  private def map(
      node: UnaryExecNode,
      func: Expression,
      evalType: Int,
      barrier: Boolean,
      profile: Option[org.apache.spark.resource.ResourceProfile]
  ): Either[String, SparkPlan] =
    for {
      _ <- common(node.child)
      _ <- check(node.child.output.nonEmpty, "no columns")
      _ <- types("a result", node.output.map(_.dataType))
    } yield {
      val settings = StockSettings.of(node, evalType, node.conf, Map.empty)
      val udf = func.asInstanceOf[PythonUDF]
      DavyMapInBatchExec(udf, node.output, node.child, barrier, profile, settings)
    }

  private def common(child: SparkPlan): Either[String, Unit] =
    for {
      _ <- check(SPARK_VERSION.startsWith("4.3."), s"Spark $SPARK_VERSION; 4.3 was compared")
      _ <- types("a column", child.output.map(_.dataType))
    } yield ()

  private def types(what: String, kinds: Seq[org.apache.spark.sql.types.DataType]) =
    kinds.find(!ArrowSchemas.holds(_)) match {
      case Some(kind) => Left(s"$what of type ${kind.simpleString}")
      case None       => Right(())
    }

  private def check(holds: Boolean, reason: => String): Either[String, Unit] =
    if (holds) Right(()) else Left(reason)
}
