package org.apache.spark.sql.davy

import org.apache.spark.api.python.ChainedPythonFunctions
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.expressions.aggregate.AggregateExpression
import org.apache.spark.sql.errors.QueryExecutionErrors
import org.apache.spark.sql.execution.ExternalAppendOnlyUnsafeRowArray
import org.apache.spark.sql.execution.metric.SQLMetric
import org.apache.spark.sql.execution.python.EvalPythonExec.ArgumentMetadata
import org.apache.spark.sql.execution.window._
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types.{IntegerType, StructField, StructType}

/**
 * The frames of window functions, which Spark itself computes, and how Spark calls the functions: a
 * frame with a bound has two columns, first and end row of each row's window; one without has none,
 * and its function runs once a group.
 */
private[davy] final class WindowFrames(
    val windowExpression: Seq[NamedExpression],
    val partitionSpec: Seq[Expression],
    val orderSpec: Seq[SortOrder],
    val childOutput: Seq[Attribute],
    val spillSize: SQLMetric
) extends WindowEvaluatorFactoryBase {

  private val (expressions, frameOf) = windowFrameExpressionFactoryPairs.zipWithIndex.flatMap {
    case ((members, _), frame) => members.map((_, frame))
  }.unzip
  private val factories = windowFrameExpressionFactoryPairs.map(_._2).toIndexedSeq

  /** For each frame, where its two columns are; -1 if it has none. */
  private val bounds: IndexedSeq[Int] = {
    val bounded = factories.map(make => WindowFrames.isBounded(make(EmptyRow)))
    val before = bounded.scanLeft(0)((sum, has) => if (has) sum + 2 else sum)
    bounded.zip(before).map { case (has, at) => if (has) at else -1 }
  }
  private val width = 2 * bounds.count(_ >= 0)

  private val call = AggregateCall.of(WindowFrames.functions(expressions))

  def funcs: Seq[(ChainedPythonFunctions, Long)] = call.funcs

  /** As Spark's worker wants to hear it. */
  val kinds: String =
    frameOf.map(frame => if (bounds(frame) < 0) "unbounded" else "bounded").mkString(",")

  val arguments: Array[Array[ArgumentMetadata]] =
    call.arguments.zip(frameOf).map { case (own, frame) =>
      val at = bounds(frame)
      val ends = if (at < 0) Nil else Seq(at, at + 1).map(AggregateCall.argument(_, None))
      ends.toArray ++ own.map(a => AggregateCall.argument(a.offset + width, a.name))
    }

  val schema: StructType = {
    val kinds = Seq.fill(width)(IntegerType) ++ call.inputs.map(_.dataType)
    StructType(kinds.zipWithIndex.map { case (kind, i) => StructField(s"_$i", kind) })
  }

  /** Rows of the child's, each beside the results of its functions → the node's rows. */
  def finish: UnsafeProjection = createResultProjection(expressions)

  /** Rows sorted by partition and order → for each partition, what the functions get. */
  def groups(rows: Iterator[UnsafeRow]): Iterator[Iterator[InternalRow]] = {
    val keys = UnsafeProjection.create(partitionSpec, childOutput)
    val input = rows.buffered
    val buffer = WindowFrames.buffer()
    val places = new SpecificInternalRow(Seq.fill(width)(IntegerType))
    val frames = factories.map(_(places)).toArray
    val inputs = {
      val ends = (0 until width).map(i => AttributeReference(s"i_$i", IntegerType)())
      UnsafeProjection.create(ends ++ call.inputs, ends ++ childOutput)
    }
    val joined = new JoinedRow
    new Iterator[Iterator[InternalRow]] {
      private var ended = false

      override def hasNext: Boolean = {
        val more = input.hasNext
        if (!more && !ended) {
          ended = true
          buffer.clear()
          spillSize += buffer.spillSize
        }
        more
      }

      override def next(): Iterator[InternalRow] = {
        val key = keys(input.head).copy()
        buffer.clear()
        var length = 0L
        while (input.hasNext && keys(input.head) == key) {
          buffer.add(input.next())
          length += 1
        }
        WindowFrames.checkSize(WindowFrames.this, length, frames)
        frames.foreach(_.prepare(buffer))
        buffer.generateIterator().zipWithIndex.map { case (row, index) =>
          var i = 0
          while (i < frames.length) {
            frames(i).write(index, row)
            if (bounds(i) >= 0) {
              places.setInt(bounds(i), frames(i).currentLowerBound())
              places.setInt(bounds(i) + 1, frames(i).currentUpperBound())
            }
            i += 1
          }
          inputs(joined(places, row))
        }
      }
    }
  }
}

private[davy] object WindowFrames {

  /** The functions' calls, in order. */
  def functions(expressions: Seq[Expression]): Seq[AggregateExpression] =
    expressions.flatMap(_.collect { case e: WindowExpression =>
      e.windowFunction.asInstanceOf[AggregateExpression]
    })

  private def isBounded(frame: WindowFunctionFrame): Boolean = frame match {
    case _: UnboundedWindowFunctionFrame => false
    case _: UnboundedFollowingWindowFunctionFrame | _: SlidingWindowFunctionFrame |
        _: UnboundedPrecedingWindowFunctionFrame =>
      true
    case other => throw QueryExecutionErrors.unexpectedWindowFunctionFrameError(other.toString)
  }

  /** Of one partition's rows. Newer Spark has limits in bytes beside those in rows. */
  private def buffer(): ExternalAppendOnlyUnsafeRowArray = {
    val conf = SQLConf.get
    val (inMemory, spill) =
      (conf.windowExecBufferInMemoryThreshold, conf.windowExecBufferSpillThreshold)
    val bytes = conf.getClass.getMethods.find(_.getName == "windowExecBufferSpillSizeThreshold")
    val args = bytes.map(_.invoke(conf)) match {
      case None        => Seq(Int.box(inMemory), Int.box(spill))
      case Some(bytes) => Seq(Int.box(inMemory), bytes, Int.box(spill), bytes)
    }
    classOf[ExternalAppendOnlyUnsafeRowArray].getConstructors
      .find(_.getParameterCount == args.length)
      .get
      .newInstance(args: _*)
      .asInstanceOf[ExternalAppendOnlyUnsafeRowArray]
  }

  private val sizeCheck =
    classOf[WindowEvaluatorFactoryBase].getMethods.find(_.getName == "checkPartitionSizeLimit")

  /** Newer Spark refuses partitions that its frames cannot count. */
  private def checkSize(
      frames: WindowFrames,
      rows: Long,
      all: Array[WindowFunctionFrame]
  ): Unit =
    if (rows > Int.MaxValue) sizeCheck.foreach { check =>
      val args = Seq[AnyRef](Long.box(rows), all).take(check.getParameterCount)
      try check.invoke(frames, args: _*)
      catch { case e: java.lang.reflect.InvocationTargetException => throw e.getCause }
    }
}
