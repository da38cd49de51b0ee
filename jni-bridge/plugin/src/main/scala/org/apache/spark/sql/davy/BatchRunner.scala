package org.apache.spark.sql.davy

import java.io.{DataInputStream, DataOutputStream}
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.atomic.AtomicBoolean
import scala.collection.mutable

import davy.{DavyException, Figures, Sandbox}
import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.types.pojo.Schema
import org.apache.spark.{SparkEnv, TaskContext}
import org.apache.spark.api.python._
import org.apache.spark.sql.execution.metric.SQLMetric
import org.apache.spark.sql.execution.python.FunctionResults

/**
 * Runs an Arrow function in a sandbox: the command, exceptions, accumulators and the end go through
 * the byte channel as Spark sends them; batches go through linear memory, each announced by a frame
 * on the channel.
 *
 * @param stock Spark's runner of the same function
 * @param wires the schema and order of the columns of each table
 * @param grouped whether there are many groups; each is then announced by the number of its tables
 * @param apart whether results are told apart by the slice of the input that they are of; they may
 *   come together
 * @param sent what was given to the guest, in order; whoever takes a batch out closes it. The runner
 *   itself closes what the guest has taken if `keeps` is false.
 */
private[davy] final class BatchRunner(
    stock: StockRunner,
    wires: Seq[Wire],
    grouped: Boolean,
    apart: Boolean,
    sent: ConcurrentLinkedQueue[InputBatch],
    keeps: Boolean,
    allocator: BufferAllocator,
    columnMetrics: ColumnMetrics
) extends BasePythonRunner[Input, OutputBatch](
      stock.funcs,
      stock.evalType,
      stock.argOffsets,
      stock.jobArtifact,
      Map.empty
    ) {

  // What Spark's runner has of its own; the names without `override` are newer than Spark 4.0.
  override val envVars: java.util.Map[String, String] = stock.get("envVars")
  override val pythonExec: String = stock.get("pythonExec")
  override val faultHandlerEnabled: Boolean = stock.get("faultHandlerEnabled")
  override val idleTimeoutSeconds: Long = stock.get("idleTimeoutSeconds")
  override val hideTraceback: Boolean = stock.get("hideTraceback")
  override val simplifiedTraceback: Boolean = stock.get("simplifiedTraceback")
  def killOnIdleTimeout: Boolean = stock.get("killOnIdleTimeout", false)
  def tracebackDumpIntervalSeconds: Long = stock.get("tracebackDumpIntervalSeconds", 0L)
  def killWorkerOnFlushFailure: Boolean = stock.get("killWorkerOnFlushFailure", true)
  def tracebackWithLocals: Boolean = stock.get("tracebackWithLocals", false)
  def runnerConf: Map[String, String] = stock.get("runnerConf", Map.empty[String, String])
  def evalConf: Map[String, String] = stock.get("evalConf", Map.empty[String, String])

  /** Runs the function in this task. */
  def results(input: Iterator[Input], context: TaskContext): Iterator[OutputBatch] =
    new FunctionResults(compute(input, context.partitionId(), context))

  private var withdrawn = false
  private var before: Option[Figures] = None

  /** The task is through with its sandbox. */
  private def withdraw(sandbox: Sandbox): Unit = synchronized {
    if (!withdrawn) {
      sandbox.withdrawBatches()
      sandbox.figures.foreach(columnMetrics.used(before, _))
    }
    withdrawn = true
  }

  /** One frame a write: Spark collects as many bytes before it hands them over. */
  override val bufferSize: Int = 4

  override protected def newWriter(
      env: SparkEnv,
      worker: PythonWorker,
      input: Iterator[Input],
      partition: Int,
      context: TaskContext
  ): Writer = new Writer(env, worker, input, partition, context) {
    private val writeStock = stock.commandWriter(env, worker, partition, context)
    private val sandbox = BatchRunner.sandboxOf(worker)
    before = sandbox.figures
    sandbox.passBatches()
    private val takenBefore = sandbox.batchesTaken
    private var closed = 0L
    private var bytes = 0L
    private val schemas = mutable.ArrayBuffer[Wire]()
    private var tables: Iterator[(Wire, Iterator[InputBatch])] = Iterator.empty
    private var table: Option[(Wire, Iterator[InputBatch])] = None
    // A group of the last pack goes on in the next.
    private var goesOn = false
    context.addTaskCompletionListener[Unit](_ => withdraw(sandbox))
    // Where it fails, Spark has ended the sandbox by then.
    context.addTaskFailureListener((_, _) => withdraw(sandbox))

    override protected def writeCommand(out: DataOutputStream): Unit = writeStock(out)

    override def writeNextInputToStream(out: DataOutputStream): Boolean = {
      if (!keeps) closeTaken()
      val before = bytes
      var more = writeFrame(out)
      // Small groups go together.
      while (more && grouped && bytes - before < BatchRunner.Together) more = writeFrame(out)
      more
    }

    private def writeFrame(out: DataOutputStream): Boolean = table match {
      case Some((wire, batches)) if hasNext(batches) =>
        val batch = timed(batches.next())
        val slices = batch.slices
        if (apart || slices.length > 1) {
          send(out, wire, batch, BatchRunner.Pack)
          slices.foreach { rows =>
            out.writeInt(BatchRunner.Slice)
            out.writeInt(rows)
          }
        } else send(out, wire, batch, BatchRunner.Batch)
        true
      case Some(_) =>
        out.writeInt(BatchRunner.End)
        table = None
        grouped
      case None => nextTable(out)
    }

    /** False if there is no more. */
    private def nextTable(out: DataOutputStream): Boolean =
      if (tables.hasNext) {
        table = Some(tables.next())
        table.foreach { case (wire, _) => begin(out, wire) }
        true
      } else if (hasNext(input)) {
        timed(input.next()) match {
          case Group(batches) =>
            if (grouped) out.writeInt(wires.length)
            tables = wires.iterator.zip(batches)
            nextTable(out)
          case pack: Pack =>
            writePack(out, pack)
            true
        }
      } else {
        if (grouped) out.writeInt(BatchRunner.End)
        false
      }

    private def begin(out: DataOutputStream, wire: Wire): Unit = {
      val number = schemas.indexOf(wire)
      wire.begin(out, number, first = number < 0)
      if (number < 0) schemas += wire
    }

    private def writePack(out: DataOutputStream, pack: Pack): Unit = {
      var i = 0
      while (i < pack.slices.length) {
        if (!goesOn) {
          out.writeInt(wires.length)
          begin(out, wires.head)
        }
        if (i == 0) send(out, wires.head, pack.batch, BatchRunner.Pack)
        out.writeInt(BatchRunner.Slice)
        out.writeInt(pack.slices(i))
        goesOn = !pack.ends(i)
        if (!goesOn) out.writeInt(BatchRunner.End)
        i += 1
      }
    }

    private def send(out: DataOutputStream, wire: Wire, batch: InputBatch, frame: Int): Unit = {
      val put = wire.describe(batch)
      if (put.bytes == 0 && !keeps) batch.close() // the guest takes nothing of it
      else {
        sent.add(batch)
        put.give(sandbox)
      }
      bytes += put.bytes
      columnMetrics.sent(batch.rows, put.bytes)
      put.announce(out, frame)
    }

    /** The child computes its rows then. */
    private def hasNext(iterator: Iterator[_]): Boolean = timed(iterator.hasNext)

    private def timed[T](body: => T): T = {
      val started = System.nanoTime()
      try body
      finally columnMetrics.gathered(System.nanoTime() - started)
    }

    private def closeTaken(): Unit = {
      val taken = sandbox.batchesTaken - takenBefore
      while (closed < taken && !sent.isEmpty) {
        sent.poll().close()
        closed += 1
      }
    }
  }

  override protected def newReaderIterator(
      stream: DataInputStream,
      writer: Writer,
      startTime: Long,
      env: SparkEnv,
      worker: PythonWorker,
      handle: Option[Int],
      releasedOrClosed: AtomicBoolean,
      context: TaskContext
  ): Iterator[OutputBatch] =
    new ReaderIterator(stream, writer, startTime, env, worker, handle, releasedOrClosed, context) {
      private val sandbox = BatchRunner.sandboxOf(worker)
      private var schema: Schema = _
      // Types that have no way through memory.
      private var guestStream: Option[GuestStream] = None

      override protected def read(): OutputBatch = {
        writer.exception.foreach(throw _)
        try {
          if (guestStream.isDefined) fromStream()
          else if (schema != null) fromMemory()
          else fromControl()
        } catch handleException
      }

      private def fromMemory(): OutputBatch = stream.readInt() match {
        case BatchRunner.Batch => take(None)
        case BatchRunner.Pack  =>
          val count = stream.readInt()
          if (count < 0 || count > BatchRunner.MostSlices)
            throw DavyException.guest(s"it sent $count results as one batch")
          take(Some(Array.fill(count)(stream.readInt())))
        case BatchRunner.End =>
          schema = null
          fromControl()
        case other => throw BatchRunner.wrong(other)
      }

      private def take(slices: Option[Array[Int]]): OutputBatch = {
        val batch = OutputBatch.take(sandbox, schema, slices, allocator)
        columnMetrics.received(batch.rows, batch.bytes)
        batch
      }

      private def fromStream(): OutputBatch = guestStream.flatMap(_.next()) match {
        case Some(batch) =>
          columnMetrics.received(batch.rows, batch.bytes)
          batch
        case None =>
          guestStream = None
          fromControl()
      }

      private def fromControl(): OutputBatch = stream.readInt() match {
        case SpecialLengths.START_ARROW_STREAM =>
          stream.readInt() match {
            case BatchRunner.Schema => schema = OutputBatch.schema(sandbox.takeSchema())
            case BatchRunner.Stream =>
              guestStream = Some(new GuestStream(stream, allocator, context))
            // Of what failed between the two.
            case SpecialLengths.PYTHON_EXCEPTION_THROWN => throw handlePythonException()
            case other                                  => throw BatchRunner.wrong(other)
          }
          read()
        case SpecialLengths.TIMING_DATA =>
          handleTimingData()
          read()
        case SpecialLengths.PYTHON_EXCEPTION_THROWN => throw handlePythonException()
        case SpecialLengths.END_OF_DATA_SECTION     =>
          // Then Spark may give the worker to another task, whose batches are not ours to take back.
          withdraw(sandbox)
          handleEndOfDataSection()
          null
        case other => throw BatchRunner.wrong(other)
      }
    }
}

private[davy] object BatchRunner {

  // Frames.
  val End = 0
  val Batch = 1
  val Stream = 2
  val Schema = 3
  val Pack = 4
  val Slice = 5

  /** Results that the guest gives together, at most. */
  private val MostSlices = 1024

  /** Bytes of small groups that are announced by one write. */
  val Together: Long = 256 << 10

  def sandboxOf(worker: PythonWorker): Sandbox = worker match {
    case davy: DavyWorker => davy.sandbox
    case _                =>
      throw DavyException.host(
        "this executor runs Python in processes: Davy is on the driver only. What to do: make the " +
          "jar known to the executors (--jars) and set spark.plugins before the application starts"
      )
  }

  private def wrong(frame: Int): DavyException =
    DavyException.guest(s"it sent the frame $frame among its batches")
}

/** The figures of one node, added to from its tasks. */
private[davy] final case class ColumnMetrics(metrics: Map[String, SQLMetric]) {
  def gathered(nanos: Long): Unit = metrics("davyGather") += nanos
  def sent(rows: Int, bytes: Long): Unit = {
    metrics("pythonDataSent") += bytes
    metrics("davyRowsSent") += rows
    metrics("davyBatchesSent") += 1
  }

  /** @param before the task */
  def used(before: Option[Figures], after: Figures): Unit = {
    def more(of: Figures => Long): Long = of(after) - before.fold(0L)(of)
    val (in, out, validate) = (more(_.copyIn), more(_.copyOut), more(_.validate))
    metrics("davyCopyIn") += in
    metrics("davyCopyOut") += out
    metrics("davyValidate") += validate * 1000
    metrics("davyGuest") += math.max((more(_.cpu) - validate) * 1000 - in - out, 0)
    metrics("davyPeakMemory") += after.memory
    if (before.forall(_.start == 0)) metrics("davyStart") += after.start * 1000
    if (more(_.limits) > 0) metrics("davyLimits") += 1
    if (after.job == "used" || after.job == "made") metrics("davyJobSnapshot") += 1
    if (after.jobRefused.nonEmpty) metrics("davyJobSnapshotRefused") += 1
  }
  def received(rows: Int, bytes: Long): Unit = {
    metrics("pythonDataReceived") += bytes
    metrics("pythonNumRowsReceived") += rows
    metrics("davyBatchesReceived") += 1
  }
}
