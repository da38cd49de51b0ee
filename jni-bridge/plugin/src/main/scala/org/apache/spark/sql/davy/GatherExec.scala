package org.apache.spark.sql.davy

import java.util.ArrayDeque

import org.apache.spark.TaskContext
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.codegen._
import org.apache.spark.sql.execution._
import org.apache.spark.sql.execution.metric.SQLMetric
import org.apache.spark.sql.types._
import org.apache.spark.sql.vectorized.ColumnarBatch

/** The batches that a node makes of its child's rows. */
private[davy] trait Gathering extends Serializable {
  def childOutput: Seq[Attribute]

  /** Columns computed from each row, beside its own. */
  def computed: Seq[Expression]
  def limits: BatchLimits

  /** Whether several of Spark's batches may become one here, if they are small. */
  def together: Boolean = false

  /** Whether Spark takes the child's columns as they are, instead of rows. */
  def ofColumns: Boolean = false

  /** The batches' columns. Asked for in the task. */
  def shape: BatchShape
}

/** What the tasks of a node do with them. */
private[davy] trait BatchStage extends Gathering {
  def run(batches: Iterator[InputBatch]): Iterator[ColumnarBatch]
}

/**
 * Rows → Arrow vectors, compiled into the code that computes the rows: a value goes from its variable
 * to its place in the vector, and no row is ever made.
 *
 * It stands in no plan: a node of Davy's makes it for its child when it runs.
 *
 * @param child what computes the rows, with code
 * @param plain the same, if Spark finds that the code is not to be compiled
 */
private[davy] case class GatherExec(child: SparkPlan, plain: SparkPlan, stage: Gathering)
    extends UnaryExecNode
    with CodegenSupport {

  /** Rows of it are [[BatchRow]]s. */
  override def output: Seq[Attribute] = Nil
  override def usedInputs: AttributeSet = child.outputSet

  override def inputRDDs(): Seq[RDD[InternalRow]] =
    child.asInstanceOf[CodegenSupport].inputRDDs()

  override protected def doExecute(): RDD[InternalRow] =
    GatherExec.rowByRow(plain.execute(), stage).map(new BatchRow(_))

  override protected def doProduce(ctx: CodegenContext): String = {
    val begin = ctx.addReferenceObj("stage", stage, classOf[Gathering].getName)
    val gatherer = classOf[Gatherer].getName
    batches = ctx.addMutableState(
      gatherer,
      "batches",
      v => s"$v = new $gatherer($begin);",
      forceInline = true
    )
    s"""
       |${child.asInstanceOf[CodegenSupport].produce(ctx, this)}
       |if ($batches.begun()) append($batches.take());
     """.stripMargin
  }
  // The name of the field of the generated class.
  private var batches: String = _

  override def doConsume(ctx: CodegenContext, input: Seq[ExprCode], row: ExprCode): String = {
    ctx.currentVars = input
    ctx.INPUT_ROW = null
    val computed = BindReferences.bindReferences(stage.computed, child.output).map(_.genCode(ctx))
    val types = child.output.map(_.dataType) ++ stage.computed.map(_.dataType)
    val filler = ctx.freshName("filler")
    val at = ctx.freshName("at")
    val puts = (input ++ computed).zip(types).zipWithIndex.map { case ((value, kind), i) =>
      val column = s"$filler.column($i)"
      val put = s"$column.put${GatherExec.suffix(kind)}(${value.value}, $at);"
      if (value.isNull == FalseLiteral) put
      else s"if (${value.isNull}) $column.putNull($at); else $put"
    }
    s"""
       |${evaluateVariables(input)}
       |${evaluateVariables(computed)}
       |${classOf[BatchFiller].getName} $filler = $batches.filler();
       |int $at = $filler.rows();
       |${puts.mkString("\n")}
       |if ($filler.added()) append($batches.take());
     """.stripMargin
  }

  override protected def withNewChildInternal(newChild: SparkPlan): SparkPlan =
    copy(child = newChild)
}

private[davy] object GatherExec {

  /** The child's rows in batches. */
  def batches(child: SparkPlan, stage: Gathering): RDD[InputBatch] = {
    val compiled = child.conf.wholeStageEnabled &&
      stage.computed.forall(compiles) &&
      child.output.length + stage.computed.length <= child.conf.wholeStageMaxNumFields
    if (stage.ofColumns) WholeBatches.of(child, stage)
    else if (ColumnBatches.serve(child, stage)) ColumnBatches.of(child, stage)
    else if (compiled) fused(child, stage).execute().map(_.asInstanceOf[BatchRow].claim())
    else rowByRow(ChildRows.of(child), stage)
  }

  private def fused(child: SparkPlan, stage: Gathering): SparkPlan = child match {
    case whole: WholeStageCodegenExec =>
      new WholeStageCodegenExec(GatherExec(whole.child, whole, stage))(whole.codegenStageId) {
        override lazy val metrics: Map[String, SQLMetric] = whole.metrics
      }
    case columns if columns.supportsColumnar =>
      val rows = ColumnarToRowExec(InputAdapter(columns))
      WholeStageCodegenExec(GatherExec(rows, ColumnarToRowExec(columns), stage))(0)
    case rows =>
      WholeStageCodegenExec(GatherExec(InputAdapter(ShuffledRows(rows)), rows, stage))(0)
  }

  private def rowByRow(rows: RDD[InternalRow], stage: Gathering): RDD[InputBatch] =
    rows.mapPartitionsInternal { rows =>
      val context = TaskContext.get()
      val (extra, allocator) = (computing(stage, context), BatchMemory.allocator(context))
      new InputBatches(rows, stage.shape, extra, stage.limits, allocator, together = stage.together)
    }

  /** What computes, row by row, the columns that are not the row's own. */
  def computing(stage: Gathering, context: TaskContext): InternalRow => InternalRow =
    if (stage.computed.isEmpty) identity
    else {
      val projection = MutableProjection.create(stage.computed, stage.childOutput)
      projection.initialize(context.partitionId())
      projection.target(new SpecificInternalRow(stage.computed.map(_.dataType)))
    }

  /** As Spark asks before it compiles an operator. */
  private def compiles(expression: Expression): Boolean = !expression.exists {
    case _: LeafExpression  => false
    case _: CodegenFallback => true
    case _                  => false
  }

  private def suffix(kind: DataType): String = CodeGenerator.javaType(kind) match {
    case primitive if CodeGenerator.isPrimitiveType(primitive) => primitive.capitalize
    case _                                                     => ""
  }
}

/** A batch, in the place of a row in what generated code gives. */
final class BatchRow(private[davy] val batch: InputBatch)
    extends GenericInternalRow(Array.empty[Any]) {
  private[davy] var claimed = false

  /** Whoever has it closes it. */
  private[davy] def claim(): InputBatch = {
    claimed = true
    batch
  }
}

/** The batches that generated code fills. */
final class Gatherer(stage: Gathering) {
  private val context = TaskContext.get()
  private val allocator = BatchMemory.allocator(context)
  private val shape = stage.shape
  private var current: BatchFiller = _
  // Code that makes many rows of one can fill several before anyone asks.
  private val waiting = new ArrayDeque[BatchRow]
  context.addTaskCompletionListener[Unit] { _ =>
    if (current != null) current.close()
    waiting.forEach(row => if (!row.claimed) row.batch.close())
  }

  /** The batch that gets the next row. */
  def filler(): BatchFiller = {
    if (current == null) current = BatchFiller(shape, stage.limits, allocator, stage.together)
    current
  }

  def begun(): Boolean = current != null

  def take(): BatchRow = {
    val row = new BatchRow(current.finish())
    current = null
    while (!waiting.isEmpty && waiting.peek().claimed) waiting.remove()
    waiting.add(row)
    row
  }
}
