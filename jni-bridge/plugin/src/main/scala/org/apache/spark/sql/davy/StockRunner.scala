package org.apache.spark.sql.davy

import java.io.DataOutputStream
import java.lang.reflect.Method

import org.apache.spark.{SparkEnv, TaskContext}
import org.apache.spark.api.python.{BasePythonRunner, ChainedPythonFunctions, PythonWorker}
import org.apache.spark.sql.catalyst.expressions.{PythonUDF, PythonUDTF}
import org.apache.spark.sql.execution.metric.SQLMetric
import org.apache.spark.sql.execution.python._
import org.apache.spark.sql.execution.python.EvalPythonExec.ArgumentMetadata
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types.StructType

/** What Spark's runner of this version takes from the session, read on the driver. */
private[davy] final case class StockSettings(
    evalType: Int,
    timeZone: String,
    largeVarTypes: Boolean,
    conf: Map[String, String],
    metrics: Map[String, SQLMetric],
    jobArtifact: Option[String],
    further: Seq[Option[String]]
)

private[davy] object StockSettings {

  /** @param node Spark's own, which says what its version gives to its runner */
  def of(
      node: AnyRef,
      evalType: Int,
      conf: SQLConf,
      metrics: Map[String, SQLMetric]
  ): StockSettings =
    StockSettings(
      evalType,
      conf.sessionLocalTimeZone,
      conf.arrowUseLargeVarTypes,
      ArrowPythonRunner.getPythonRunnerConfMap(conf),
      metrics,
      field(node, "jobArtifactUUID").flatten,
      // The session since Spark 4.1, the profiler before Spark 4.2.
      field(node, "sessionUUID").toSeq :+ conf.pythonUDFProfiler
    )

  /** None if this version's node has no such field. */
  private def field(node: AnyRef, name: String): Option[Option[String]] = {
    val kinds = Iterator.iterate[Class[_]](node.getClass)(_.getSuperclass).takeWhile(_ != null)
    val found = kinds.flatMap(_.getDeclaredFields).find(_.getName.endsWith(name))
    found.map { field =>
      field.setAccessible(true)
      field.get(node).asInstanceOf[Option[String]]
    }
  }
}

/**
 * Spark's own runner of Arrow functions, asked for all that is not data: the command, settings and
 * conventions of its version. It is never run.
 */
private[davy] final class StockRunner(runner: BasePythonRunner[_, _]) {
  def funcs: Seq[ChainedPythonFunctions] = get("funcs")
  def evalType: Int = get[Integer]("evalType")
  def argOffsets: Array[Array[Int]] = get("argOffsets")
  def jobArtifact: Option[String] = get("jobArtifactUUID")

  /** A property by name; `absent` if this version of Spark has none. */
  def get[T](name: String, absent: => T = null.asInstanceOf[T]): T =
    method(name, 0).fold(absent)(_.invoke(runner).asInstanceOf[T])

  /** Writes the command, as Spark's writer does. */
  def commandWriter(
      env: SparkEnv,
      worker: PythonWorker,
      partition: Int,
      context: TaskContext
  ): DataOutputStream => Unit = {
    val args = Seq[AnyRef](env, worker, Iterator.empty, Int.box(partition), context)
    val writer = method("newWriter", 5)
      .getOrElse(throw new NoSuchMethodException("newWriter"))
      .invoke(runner, args: _*)
    val write = methods(writer.getClass).find(_.getName == "writeCommand").get
    write.setAccessible(true)
    out => { val _ = StockRunner.unwrapped(write.invoke(writer, out)) }
  }

  private def method(name: String, count: Int): Option[Method] = {
    val found =
      methods(runner.getClass).find(m => m.getName == name && m.getParameterCount == count)
    found.foreach(_.setAccessible(true))
    found
  }

  private def methods(kind: Class[_]): Iterator[Method] =
    Iterator
      .iterate[Class[_]](kind)(_.getSuperclass)
      .takeWhile(_ != null)
      .flatMap(_.getDeclaredMethods)
}

private[davy] object StockRunner {

  def scalar(
      funcs: Seq[(ChainedPythonFunctions, Long)],
      arguments: Array[Array[ArgumentMetadata]],
      schema: StructType,
      s: StockSettings
  ): StockRunner =
    make(classOf[ArrowPythonWithNamedArgumentRunner], s, funcs, kind(s), arguments, schema)

  /** @param offsets of the one struct of a map; of keys and columns of groups */
  def table(
      func: PythonUDF,
      offsets: Array[Int],
      schema: StructType,
      s: StockSettings
  ): StockRunner =
    make(classOf[ArrowPythonRunner], s, one(func), kind(s), Array(offsets), schema)

  def cogrouped(
      func: PythonUDF,
      offsets: Array[Int],
      left: StructType,
      right: StructType,
      s: StockSettings
  ): StockRunner =
    make(classOf[CoGroupedArrowPythonRunner], s, one(func), kind(s), Array(offsets), left, right)

  def udtf(
      udtf: PythonUDTF,
      arguments: Array[ArgumentMetadata],
      schema: StructType,
      s: StockSettings
  ): StockRunner = make(classOf[ArrowPythonUDTFRunner], s, udtf, kind(s), arguments, schema)

  private def kind(s: StockSettings): AnyRef = Int.box(s.evalType)

  /** What follows the settings differs between versions of Spark, in number at least. */
  private def make(
      runner: Class[_ <: BasePythonRunner[_, _]],
      s: StockSettings,
      first: AnyRef*
  ): StockRunner = {
    val large = Boolean.box(s.largeVarTypes)
    val rest = Seq[AnyRef](s.timeZone, large, s.conf, s.metrics, s.jobArtifact) ++ s.further
    val constructor = runner.getConstructors.head
    val args = (first ++ rest).take(constructor.getParameterCount)
    new StockRunner(
      unwrapped(constructor.newInstance(args: _*)).asInstanceOf[BasePythonRunner[_, _]]
    )
  }

  private def one(func: PythonUDF): Seq[(ChainedPythonFunctions, Long)] =
    Seq((ChainedPythonFunctions(Seq(func.func)), func.resultId.id))

  private def unwrapped[T](body: => T): T =
    try body
    catch { case e: java.lang.reflect.InvocationTargetException => throw e.getCause }
}
