package org.apache.spark.sql.davy

import org.apache.spark.{JobArtifactSet, SPARK_VERSION}
import org.apache.spark.api.python.PythonEvalType._
import org.apache.spark.sql.SparkSessionExtensions
import org.apache.spark.sql.catalyst.expressions.{
  Attribute,
  Expression,
  NamedExpression,
  PythonUDF,
  SessionWindow,
  SortOrder
}
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.catalyst.rules.Rule
import org.apache.spark.sql.execution._
import org.apache.spark.sql.execution.datasources.v2.DataSourceV2ScanExecBase
import org.apache.spark.sql.execution.python._
import org.apache.spark.sql.internal.SQLConf

/** Davy's part of the planner; the plugin puts it into `spark.sql.extensions`. */
final class DavyExtensions extends (SparkSessionExtensions => Unit) {
  override def apply(extensions: SparkSessionExtensions): Unit =
    extensions.injectColumnar(_ => DavyColumnarRule)
}

/** Replaces Spark's nodes for Arrow functions by Davy's, which pass batches through memory. */
object DavyColumnarRule extends ColumnarRule {
  val Key = "spark.davy.columnar"

  // Newer than the Spark that this is compiled against.
  private val ScalarArrow = 250
  private val ScalarArrowIter = 251
  private val Aggregate = "ArrowAggregatePythonExec"
  private val Window = "ArrowWindowPythonExec"
  // Spark 4.0's.
  private val Older = Set("AggregateInPandasExec", "WindowInPandasExec")
  // Spark 4.0 has TransformWithStateInPandasExec.
  private val Stateful = Set(
    "FlatMapGroupsInPandasWithStateExec",
    "TransformWithStateInPandasExec",
    "TransformWithStateInPySparkExec"
  )

  // The versions on which nodes were compared with stock; before these, tables of groups come otherwise.
  private val All = Seq("4.2", "4.3")
  private val OneTable = "4.1" +: All
  private val Ungrouped = "4.0" +: OneTable

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
      replaced(plan)
  }

  /** From the leaves: what is left below its reason is not looked at again. */
  private def replaced(stock: SparkPlan): SparkPlan =
    stock.mapChildren(replaced) match {
      // Spark's child decides: ours give columns where Spark's give rows.
      case node: ArrowEvalPythonExec => served(node, scalar(node, stock.supportsColumnar))
      case node: MapInPandasExec     =>
        served(node, map(node, node.func, SQL_MAP_PANDAS_ITER_UDF, node.isBarrier, node.profile))
      case node: MapInArrowExec =>
        served(node, map(node, node.func, SQL_MAP_ARROW_ITER_UDF, node.isBarrier, node.profile))
      case node: FlatMapGroupsInPandasExec =>
        served(node, groups(node, node.func, node.groupingAttributes, struct = false))
      case node: FlatMapGroupsInArrowExec =>
        served(node, groups(node, node.func, node.groupingAttributes, struct = true))
      case node: FlatMapCoGroupsInPandasExec =>
        served(node, cogroups(node, node.func, node.leftGroup, node.rightGroup))
      case node: FlatMapCoGroupsInArrowExec =>
        served(node, cogroups(node, node.func, node.leftGroup, node.rightGroup))
      case node: ArrowEvalPythonUDTFExec                    => served(node, udtf(node))
      case node if node.getClass.getSimpleName == Aggregate => served(node, aggregate(node))
      case node if node.getClass.getSimpleName == Window    => served(node, window(node))
      case node if Older(node.getClass.getSimpleName)    => served(node, version().map(_ => node))
      case node if Stateful(node.getClass.getSimpleName) =>
        served(node, Left("state, which the function asks Spark for between its rows"))
      case scan: DataSourceV2ScanExecBase if scan.scan.getClass.getSimpleName == "PythonScan" =>
        served(scan, Left("a Python data source, which has no batches to send"))
      case node => node
    }

  /** Spark has wrapped children that give rows: Davy's nodes take them as they are. */
  override def postColumnarTransitions: Rule[SparkPlan] = plan =>
    DavyColumnarToRowExec.insert(plan.transform { case node: ColumnarPythonExec =>
      node.withNewChildren(node.children.map {
        case RowToColumnarExec(rows) => rows
        case columns                 => columns
      })
    })

  private def served(stock: SparkPlan, ours: Either[String, SparkPlan]): SparkPlan = ours match {
    case Right(node) =>
      node.copyTagsFrom(stock)
      node
    case Left(reason) => DavyByteChannelExec(reason, stock.mapChildren(rowsOfOurs))
  }

  /** Our columns are valid until the next batch is asked for; Spark's node would keep them. */
  private def rowsOfOurs(child: SparkPlan): SparkPlan =
    if (child.supportsColumnar && child.exists(_.isInstanceOf[ColumnarPythonExec]))
      DavyRowsExec(child)
    else child

  private def scalar(
      node: ArrowEvalPythonExec,
      ofColumns: Boolean
  ): Either[String, SparkPlan] =
    for {
      _ <- check(Scalar(node.evalType), s"the kind ${node.evalType}")
      _ <- common(node.child, Ungrouped)
      inputs = ScalarStage.inputs(node.udfs)
      _ <- check(inputs.nonEmpty, "a function without arguments")
      _ <- types("an argument", inputs.map(_.dataType))
      _ <- types("a result", node.resultAttrs.map(_.dataType))
    } yield {
      val settings = StockSettings.of(node, node.evalType, node.conf, Map.empty)
      DavyArrowEvalPythonExec(
        node.udfs,
        node.resultAttrs,
        node.child,
        node.evalType,
        ofColumns,
        settings
      )
    }

  private def map(
      node: UnaryExecNode,
      func: Expression,
      evalType: Int,
      barrier: Boolean,
      profile: Option[org.apache.spark.resource.ResourceProfile]
  ): Either[String, SparkPlan] =
    tables(node, Ungrouped).map { _ =>
      val settings = StockSettings.of(node, evalType, node.conf, Map.empty)
      val udf = func.asInstanceOf[PythonUDF]
      DavyMapInBatchExec(udf, node.output, node.child, barrier, profile, settings)
    }

  private def groups(
      node: UnaryExecNode,
      func: Expression,
      grouping: Seq[Attribute],
      struct: Boolean
  ): Either[String, SparkPlan] =
    tables(node, OneTable).map { _ =>
      val settings = StockSettings.of(node, evalType(node), node.conf, Map.empty)
      val udf = func.asInstanceOf[PythonUDF]
      val (child, clusters) = unsorted(node.child, grouping, Nil, settings)
      DavyFlatMapGroupsExec(udf, grouping, node.output, child, struct, clusters, settings)
    }

  /** The child without its sort by the keys, where Davy's node does not need it; and whether it is so. */
  private def unsorted(
      child: SparkPlan,
      grouping: Seq[Expression],
      inputs: Seq[Expression],
      settings: StockSettings
  ): (SparkPlan, Boolean) = child match {
    case sort: SortExec if !settings.largeVarTypes && Clustering.serves(sort, grouping, inputs) =>
      (sort.child, true)
    case _ => (child, false)
  }

  private def cogroups(
      node: BinaryExecNode,
      func: Expression,
      left: Seq[Attribute],
      right: Seq[Attribute]
  ): Either[String, SparkPlan] =
    tables(node).map { _ =>
      val settings = StockSettings.of(node, evalType(node), node.conf, Map.empty)
      val udf = func.asInstanceOf[PythonUDF]
      DavyFlatMapCoGroupsExec(udf, left, right, node.output, node.left, node.right, settings)
    }

  /** Spark's node is newer than the Spark that this is compiled against. */
  private def aggregate(node: SparkPlan): Either[String, SparkPlan] = {
    // Its fields: grouping, aggregates, results, child, kind.
    val grouping = node.productElement(0).asInstanceOf[Seq[NamedExpression]]
    val aggregates = node.productElement(1).asInstanceOf[Seq[AggregateExpression]]
    val results = node.productElement(2).asInstanceOf[Seq[NamedExpression]]
    val kind = node.productElement(4).asInstanceOf[Int]
    val call = AggregateCall.of(aggregates)
    for {
      _ <- version()
      _ <- check(!grouping.exists(_.metadata.contains(SessionWindow.marker)), "a session window")
      _ <- check(call.inputs.nonEmpty, "a function without arguments")
      _ <- types("an argument", call.inputs.map(_.dataType))
      _ <- types("a result", aggregates.map(_.dataType))
    } yield {
      val settings = StockSettings.of(node, kind, node.conf, Map.empty)
      val (child, clusters) = unsorted(node.children.head, grouping, call.inputs, settings)
      DavyAggregatePythonExec(grouping, aggregates, results, child, clusters, settings)
    }
  }

  /** Spark's node is newer than the Spark that this is compiled against. */
  private def window(node: SparkPlan): Either[String, SparkPlan] = {
    // Its fields: expressions, partitions, order, child, kind.
    val expressions = node.productElement(0).asInstanceOf[Seq[NamedExpression]]
    val partitions = node.productElement(1).asInstanceOf[Seq[Expression]]
    val order = node.productElement(2).asInstanceOf[Seq[SortOrder]]
    val kind = node.productElement(4).asInstanceOf[Int]
    val functions = WindowFrames.functions(expressions)
    val call = AggregateCall.of(functions)
    for {
      _ <- version()
      _ <- check(call.inputs.nonEmpty, "a function without arguments")
      _ <- types("an argument", call.inputs.map(_.dataType))
      _ <- types("a result", functions.map(_.dataType))
    } yield {
      val settings = StockSettings
        .of(node, kind, node.conf, Map.empty)
        .copy(jobArtifact = JobArtifactSet.getCurrentJobArtifactState.map(_.uuid))
      DavyWindowPythonExec(expressions, partitions, order, node.children.head, settings)
    }
  }

  private def udtf(node: ArrowEvalPythonUDTFExec): Either[String, SparkPlan] = {
    val inputs = UdtfStage.inputs(node.udtf)
    for {
      _ <- version()
      _ <- check(inputs.nonEmpty, "a function without arguments")
      _ <- types("an argument", inputs.map(_.dataType))
      _ <- types("a result", node.resultAttrs.map(_.dataType))
    } yield {
      val settings = StockSettings.of(node, node.evalType, node.conf, Map.empty)
      DavyUdtfPythonExec(
        node.udtf,
        node.requiredChildOutput,
        node.resultAttrs,
        node.child,
        settings
      )
    }
  }

  /** Protected in Spark's sources, public in their byte code. */
  private def evalType(node: SparkPlan): Int =
    node.getClass.getMethod("pythonEvalType").invoke(node).asInstanceOf[Int]

  /** Of nodes that get and give whole tables. */
  private def tables(
      node: SparkPlan,
      versions: Seq[String] = All
  ): Either[String, Unit] =
    for {
      _ <- node.children.map(common(_, versions)).find(_.isLeft).getOrElse(Right(()))
      _ <- check(node.children.forall(_.output.nonEmpty), "no columns")
      _ <- types("a result", node.output.map(_.dataType))
    } yield ()

  private def common(child: SparkPlan, versions: Seq[String]): Either[String, Unit] =
    for {
      _ <- version(versions)
      _ <- types("a column", child.output.map(_.dataType))
    } yield ()

  /** Of these, the nodes were compared with stock. */
  private def version(served: Seq[String] = All): Either[String, Unit] =
    check(
      served.exists(v => SPARK_VERSION.startsWith(s"$v.")),
      s"Spark $SPARK_VERSION; through memory such batches go on ${served.mkString(", ")}"
    )

  private def types(what: String, kinds: Seq[org.apache.spark.sql.types.DataType]) =
    kinds.find(!ArrowSchemas.holds(_)) match {
      case Some(kind) => Left(s"$what of type ${kind.simpleString}")
      case None       => Right(())
    }

  private def check(holds: Boolean, reason: => String): Either[String, Unit] =
    if (holds) Right(()) else Left(reason)
}
