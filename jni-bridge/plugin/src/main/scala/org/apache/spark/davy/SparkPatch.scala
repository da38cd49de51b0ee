package org.apache.spark.davy

import java.io.DataInputStream
import java.util.function.{BiFunction, BooleanSupplier, Consumer, Function => JavaFunction}
import scala.jdk.CollectionConverters._
import scala.util.control.NonFatal

import javassist.{ClassPool, CtField, LoaderClassPath}
import org.apache.arrow.vector.VectorSchemaRoot
import org.apache.spark.{SparkEnv, TaskContext}
import org.apache.spark.api.python.DavyWorkers
import org.slf4j.LoggerFactory

/**
 * Closes the ways by which Spark starts Python processes without asking its SparkEnv, and looks at
 * what Arrow streams say of text and frames of their length. Methods get a first line or a last one, before their classes are
 * loaded; where Davy is not installed in the current SparkEnv they do what they always did.
 */
private[spark] object SparkPatch {
  private val log = LoggerFactory.getLogger("davy.SparkPatch")
  private val loader = classOf[SparkEnv].getClassLoader

  /**
   * @param target the class with the method
   * @param neighbour a class of the same package, to define the patched one beside
   * @param hookType of the static field that the line asks
   * @param last whether the line is the last one, not the first
   * @param parameters how many the method has, where others have its name
   */
  private case class Patch(
      target: String,
      method: String,
      neighbour: String,
      hookType: String,
      line: String,
      hook: AnyRef,
      last: Boolean = false,
      parameters: Option[Int] = None
  )

  private val Field = "davyHook"
  private val Python = "org.apache.spark.api.python."
  private val Arrow = "org.apache.arrow.vector.ipc."
  private val Direct = "org.apache.spark.udf.worker.core.direct."

  private val patches = Seq(
    // Streaming's foreachBatch, listeners, stateful processors and Python streaming sources make a
    // factory of their own and ask it for a simple worker.
    Patch(
      Python + "PythonWorkerFactory",
      "createSimpleWorker",
      Python + "SpecialLengths",
      "java.util.function.Function",
      """{
        if (davyHook != null) {
          Object worker = davyHook.apply(
            new Object[] { this, this.workerModule, this.envVars, Boolean.valueOf($1) });
          if (worker != null) { return (scala.Tuple2) worker; }
        }
      }""",
      new JavaFunction[Array[AnyRef], AnyRef] {
        override def apply(a: Array[AnyRef]): AnyRef = DavyWorkers
          .of(SparkEnv.get)
          .map(
            _.simpleWorker(
              pythonOf(a(0)),
              a(1).asInstanceOf[String],
              a(2).asInstanceOf[Map[String, String]],
              a(3).asInstanceOf[Boolean]
            )
          )
          .orNull
      }
    ),
    // Spark 4.3's new dispatcher. Davy switches it off; a session could switch it on again.
    Patch(
      Direct + "DirectWorkerDispatcher",
      "launchProcess",
      Direct + "DirectWorkerTimeoutException",
      "java.util.function.BooleanSupplier",
      """{
        if (davyHook != null && davyHook.getAsBoolean()) {
          throw new UnsupportedOperationException("Davy does not serve Spark's unified UDF execution,"
            + " which starts processes: set spark.sql.execution.udf.unified.execution.enabled=false");
        }
      }""",
      new BooleanSupplier {
        override def getAsBoolean: Boolean = DavyWorkers.of(SparkEnv.get).isDefined
      }
    ),
    // Exceptions and pickled rows, of a length that the guest says.
    Patch(
      Python + "PythonWorkerUtils$",
      "readBytes",
      Python + "SpecialLengths",
      "java.util.function.BiFunction",
      """{
        if (davyHook != null) {
          Object bytes = davyHook.apply(Integer.valueOf($1), $2);
          if (bytes != null) { return (byte[]) bytes; }
        }
      }""",
      new BiFunction[Integer, DataInputStream, Array[Byte]] {
        override def apply(length: Integer, from: DataInputStream): Array[Byte] =
          if (DavyWorkers.of(SparkEnv.get).isDefined) FrameBytes.read(length, from).orNull else null
      },
      parameters = Some(2)
    ),
    // Batches of streams on the byte channel.
    Patch(
      Arrow + "ArrowReader",
      "loadRecordBatch",
      Arrow + "InvalidArrowFileException",
      "java.util.function.Consumer",
      "{ if (davyHook != null) { davyHook.accept(this.root); } }",
      new Consumer[VectorSchemaRoot] {
        override def accept(root: VectorSchemaRoot): Unit =
          if (TaskContext.get() != null && DavyWorkers.of(SparkEnv.get).isDefined) TextCheck(root)
      },
      last = true
    )
  )

  /** Patches what is there to patch, once per JVM; the sentence of what is in the way, if any. */
  def apply(): Option[String] = synchronized {
    patches.filter(p => exists(p.target) && !done(p)).flatMap(install).headOption
  }

  private val done = scala.collection.mutable.Set[Patch]()

  private def install(patch: Patch): Option[String] =
    try {
      val loaded: Class[_] =
        try define(patch)
        catch {
          // It is loaded already: by an earlier SparkContext with Davy, or by one without.
          case NonFatal(e) => load(patch.target)
        }
      loaded.getField(Field).set(null, patch.hook)
      done += patch
      None
    } catch {
      case e @ (NonFatal(_) | _: LinkageError) =>
        log.error(s"Davy cannot patch ${patch.target}.${patch.method}", e)
        Some(
          s"Davy cannot change what makes Spark start Python processes or believe what they " +
            s"say (${patch.method} of ${patch.target}), because this JVM ran Python work without Davy before. Start the " +
            "application in a new JVM."
        )
    }

  private def define(patch: Patch): Class[_] = {
    val pool = new ClassPool(true)
    pool.appendClassPath(new LoaderClassPath(loader))
    val target = pool.get(patch.target)
    target.addField(CtField.make(s"public static volatile ${patch.hookType} $Field;", target))
    val methods = target
      .getDeclaredMethods(patch.method)
      .filter(m => patch.parameters.forall(_ == m.getParameterTypes.length))
    methods.foreach { method =>
      if (patch.last) method.insertAfter(patch.line) else method.insertBefore(patch.line)
    }
    target.toClass(load(patch.neighbour))
  }

  /** The program that a stock factory would start: a private field, whose name is longer in its class. */
  private def pythonOf(factory: AnyRef): String =
    factory.getClass.getDeclaredFields
      .find(_.getName.endsWith("pythonExec"))
      .map { field =>
        field.setAccessible(true)
        field.get(factory).asInstanceOf[String]
      }
      .getOrElse("")

  private def exists(name: String): Boolean =
    loader.getResources(name.replace('.', '/') + ".class").asScala.nonEmpty

  private def load(name: String): Class[_] = Class.forName(name, true, loader)
}
