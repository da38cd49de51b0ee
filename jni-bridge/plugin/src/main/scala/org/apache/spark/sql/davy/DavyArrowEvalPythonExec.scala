package org.apache.spark.sql.davy

import java.util.concurrent.ConcurrentLinkedQueue
import scala.collection.mutable.ArrayBuffer

import org.apache.spark.TaskContext
import org.apache.spark.api.python.ChainedPythonFunctions
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.execution.{SparkPlan, UnaryExecNode}
import org.apache.spark.sql.execution.python.EvalPythonEvaluatorFactory
import org.apache.spark.sql.execution.python.EvalPythonExec.ArgumentMetadata
import org.apache.spark.sql.types._
import org.apache.spark.sql.vectorized.ColumnarBatch

/**
 * Scalar pandas and Arrow functions, and plain ones that Spark sends as Arrow, through linear
 * memory. The child's columns stay in host memory and are joined to the results as they are.
 *
 * @param ofColumns whether Spark's node would take its child's columns instead of rows
 */
case class DavyArrowEvalPythonExec(
    udfs: Seq[PythonUDF],
    resultAttrs: Seq[Attribute],
    child: SparkPlan,
    evalType: Int,
    ofColumns: Boolean,
    settings: StockSettings
) extends UnaryExecNode
    with ColumnarPythonExec {

  override def output: Seq[Attribute] = child.output ++ resultAttrs
  override def producedAttributes: AttributeSet = AttributeSet(resultAttrs)
  override def functions: Seq[PythonUDF] = udfs

  override protected def doExecuteColumnar(): RDD[ColumnarBatch] = {
    val stage = ScalarStage(
      child.output,
      udfs,
      output,
      settings.copy(metrics = pythonMetrics),
      limits,
      ofColumns,
      ColumnMetrics(metrics)
    )
    GatherExec.batches(child, stage).mapPartitionsInternal(stage.run)
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    copy(child = newChild)
}

/** What the tasks of the node do. */
private[davy] final case class ScalarStage(
    childOutput: Seq[Attribute],
    udfs: Seq[PythonUDF],
    output: Seq[Attribute],
    settings: StockSettings,
    limits: BatchLimits,
    override val ofColumns: Boolean,
    metrics: ColumnMetrics
) extends BatchStage {
  private val places = ArgumentPlaces(ScalarStage.inputs(udfs), childOutput)
  override def together: Boolean = true
  override def computed: Seq[Expression] = places.computed

  private def own = childOutput.length
  @transient private lazy val call = CapturedCall(childOutput, udfs, output)
  @transient private lazy val schema = ArrowSchemas.of(call.schema, settings)

  override def shape: BatchShape = {
    val kept = ArrowSchemas.kept(childOutput, settings.timeZone)
    val fields = kept ++ places.added.map(schema.getFields.get)
    // Columns that are arguments as well are as the function wants them: with wide offsets, perhaps.
    places.all.zipWithIndex.foreach { case (place, i) => fields(place) = schema.getFields.get(i) }
    BatchShape(fields, own, places.all, struct = false)
  }

  override def run(batches: Iterator[InputBatch]): Iterator[ColumnarBatch] = {
    val context = TaskContext.get()
    val allocator = BatchMemory.allocator(context)
    val sent = new ConcurrentLinkedQueue[InputBatch]
    val runner = new BatchRunner(
      StockRunner.scalar(call.funcs, call.arguments, call.schema, settings),
      Seq(Wire(schema, places.all, struct = false)),
      grouped = false,
      apart = false,
      sent,
      keeps = true,
      allocator,
      metrics
    )
    val all = Iterator.single(Group(Seq(batches)))
    def results = runner.results(all, context)
    val types = ScalarStage.types(output.drop(own))
    new JoinedBatches(results, sent, own, types, allocator, context, ofColumns)
  }
}

private[davy] object ScalarStage {

  /** The arguments of all functions, each once, in the order of Spark's schema for them. */
  def inputs(udfs: Seq[PythonUDF]): Seq[Expression] = {
    def leaves(udf: PythonUDF): Seq[Expression] = udf.children match {
      case Seq(inner: PythonUDF) => leaves(inner)
      case children              => children
    }
    val all = ArrayBuffer[Expression]()
    udfs.flatMap(leaves).foreach { e =>
      val value = e match {
        case NamedArgumentExpression(_, named) => named
        case plain                             => plain
      }
      if (!all.exists(_.semanticEquals(value))) all += value
    }
    all.toSeq
  }

  /** The types that the results must have. */
  def types(results: Seq[Attribute]): Seq[DataType] = results.map(_.dataType.transformRecursively {
    case udt: UserDefinedType[_] => udt.sqlType
  })
}

/** How Spark calls the functions: what its own factory would give to its runner. */
private[davy] final case class CapturedCall(
    funcs: Seq[(ChainedPythonFunctions, Long)],
    arguments: Array[Array[ArgumentMetadata]],
    schema: StructType
)

private[davy] object CapturedCall {
  def apply(child: Seq[Attribute], udfs: Seq[PythonUDF], output: Seq[Attribute]): CapturedCall = {
    var captured: CapturedCall = null
    val factory = new EvalPythonEvaluatorFactory(child, udfs, output) {
      override protected def evaluate(
          funcs: Seq[(ChainedPythonFunctions, Long)],
          argMetas: Array[Array[ArgumentMetadata]],
          iter: Iterator[InternalRow],
          schema: StructType,
          context: TaskContext
      ): Iterator[InternalRow] = {
        captured = new CapturedCall(funcs, argMetas, schema)
        Iterator.empty
      }
    }
    val _ = factory.createEvaluator().eval(0, Iterator.empty)
    captured
  }
}
