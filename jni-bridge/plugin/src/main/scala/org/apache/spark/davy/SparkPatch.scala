package org.apache.spark.davy

import java.io.{DataInputStream, InputStream}
import java.util.{Iterator => JavaIterator, List => JavaList}
import java.util.function.{
  BiConsumer,
  BiFunction,
  BooleanSupplier,
  Function => JavaFunction,
  IntConsumer
}
import scala.jdk.CollectionConverters._
import scala.util.control.NonFatal

import javassist.{ClassPool, CtClass, CtField, LoaderClassPath}
import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.FieldVector
import org.apache.arrow.vector.ipc.ReadChannel
import org.apache.arrow.vector.ipc.message.ArrowRecordBatch
import org.apache.spark.{SparkEnv, TaskContext}
import org.apache.spark.api.python.DavyWorkers
import org.slf4j.LoggerFactory

/**
 * Closes the ways by which Spark starts Python processes without asking its SparkEnv, and looks at what guests say of
 * lengths before memory is made for them. Methods get a first line, before their classes are loaded; where Davy is
 * not installed in the current SparkEnv they do what they always did.
 */
private[spark] object SparkPatch {
  private val log = LoggerFactory.getLogger("davy.SparkPatch")
  private val loader = classOf[SparkEnv].getClassLoader

  /**
   * @param target the class with the method
   * @param neighbour a class of the same package, to define the patched one beside
   * @param hookType of the static field that the line asks
   * @param parameters how many the method has, where others have its name
   * @param more lines, by the names of their methods
   * @param optional whether not every Spark has the method
   */
  private case class Patch(
      target: String,
      method: String,
      neighbour: String,
      hookType: String,
      line: String,
      hook: AnyRef,
      parameters: Option[Int] = None,
      more: Map[String, String] = Map.empty,
      optional: Boolean = false
  )

  private val Field = "davyHook"
  private val Python = "org.apache.spark.api.python."
  private val Security = "org.apache.spark.security."
  private val State = "org.apache.spark.sql.execution.python.streaming."
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
        override def getAsBoolean: Boolean = isHere
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
          if (isHere) FrameBytes.read(length, from).orNull else null
      },
      parameters = Some(2)
    ),
    // Values in pickled rows.
    Patch(
      "net.razorvine.pickle.PickleUtils",
      "readbytes",
      "net.razorvine.pickle.Opcodes",
      "java.util.function.BiConsumer",
      "{ if (davyHook != null) { davyHook.accept(Long.valueOf((long) $2), $1); } }",
      new BiConsumer[java.lang.Long, InputStream] {
        override def accept(length: java.lang.Long, from: InputStream): Unit =
          if (isHere) FrameBytes.pickled(length, from)
      },
      parameters = Some(2)
    ),
    // Arrow streams on the byte channel, and to the state of streaming queries: messages, then batches.
    Patch(
      Arrow + "message.MessageChannelReader",
      "readNext",
      Arrow + "message.MessageResult",
      "java.util.function.BiFunction",
      """{
        if (davyHook != null) {
          Object[] next = (Object[]) davyHook.apply(this.in, this.allocator);
          if (next != null) {
            if (next.length == 0) { return null; }
            return new org.apache.arrow.vector.ipc.message.MessageResult(
              (org.apache.arrow.flatbuf.Message) next[0], (org.apache.arrow.memory.ArrowBuf) next[1]);
          }
        }
      }""",
      new BiFunction[ReadChannel, BufferAllocator, Array[AnyRef]] {
        override def apply(in: ReadChannel, allocator: BufferAllocator): Array[AnyRef] =
          if (isHere)
            ArrowMessages.next(in, allocator).fold(Array.empty[AnyRef]) { case (message, body) =>
              Array(message, body.orNull)
            }
          else null
      }
    ),
    Patch(
      Arrow + "ArrowReader",
      "loadRecordBatch",
      Arrow + "InvalidArrowFileException",
      "java.util.function.BiConsumer",
      "{ if (davyHook != null) { davyHook.accept(this.root.getFieldVectors(), $1); } }",
      new BiConsumer[JavaList[FieldVector], ArrowRecordBatch] {
        override def accept(vectors: JavaList[FieldVector], batch: ArrowRecordBatch): Unit =
          if (isHere) BatchCheck(vectors, batch)
      },
      more = Map(
        "loadDictionary" ->
          """{
            if (davyHook != null) {
              org.apache.arrow.vector.dictionary.Dictionary known = (org.apache.arrow.vector.dictionary.Dictionary)
                this.dictionaries.get(Long.valueOf($1.getDictionaryId()));
              davyHook.accept(known == null ? null : java.util.Collections.singletonList(known.getVector()),
                $1.getDictionary());
            }
          }"""
      )
    ),
    // Values of a list, for the state of a streaming query, since Spark 4.1.
    Patch(
      State + "TransformWithStateInPySparkDeserializer",
      "readListElements",
      State + "ListStateInfo",
      "java.util.function.Function",
      """{
        if (davyHook != null) {
          java.util.Iterator values = (java.util.Iterator) davyHook.apply($1);
          if (values != null) {
            scala.collection.mutable.ArrayBuffer rows = new scala.collection.mutable.ArrayBuffer();
            while (values.hasNext()) {
              rows.addOne(org.apache.spark.sql.api.python.PythonSQLUtils$.MODULE$.toJVMRow(
                (byte[]) values.next(), $2.schema(), $2.deserializer()));
            }
            return rows.toSeq();
          }
        }
      }""",
      new JavaFunction[DataInputStream, JavaIterator[Array[Byte]]] {
        override def apply(from: DataInputStream): JavaIterator[Array[Byte]] =
          if (isHere) FrameBytes.values(from).asJava else null
      }
    )
  ) ++
    // Requests to the state of a streaming query: its server's name is another since Spark 4.1.
    Seq("TransformWithStateInPandasStateServer", "TransformWithStateInPySparkStateServer").map {
      server =>
        Patch(
          State + server,
          "parseProtoMessage",
          State + "ListStateInfo",
          "java.util.function.Function",
          """{
          if (davyHook != null) {
            byte[] message = (byte[]) davyHook.apply(this.inputStream());
            if (message != null) {
              return org.apache.spark.sql.execution.streaming.state.StateMessage.StateRequest.parseFrom(message);
            }
          }
        }""",
          new JavaFunction[DataInputStream, Array[Byte]] {
            override def apply(from: DataInputStream): Array[Byte] =
              if (isHere) FrameBytes.message(from) else null
          }
        )
    } ++
    // Spark 4.0 serves call-backs at ports: those of a barrier, of encrypted broadcasts, of a streaming query's state.
    Seq(
      Patch(
        Python + "BasePythonRunner",
        "serverSocket_$eq",
        Python + "SpecialLengths",
        "java.util.function.IntConsumer",
        """{
          if (davyHook != null && $1.isDefined()) {
            davyHook.accept(((java.net.ServerSocket) $1.get()).getLocalPort());
          }
        }""",
        opened(once = false),
        optional = true
      ),
      Patch(
        Security + "SocketAuthServer",
        "port",
        Security + "SocketAuthHelper",
        "java.util.function.IntConsumer",
        "{ if (davyHook != null) { davyHook.accept(this.port); } }",
        // The driver's others serve its own Python.
        opened(once = true, byDriver = false),
        optional = true
      )
    ) ++
    Seq(
      "TransformWithStateInPandasPythonBaseRunner",
      "TransformWithStateInPandasPythonPreInitRunner"
    ).map { runner =>
      Patch(
        State + runner,
        "stateServerSocketPort_$eq",
        State + "TransformWithStateInPandasStateServer",
        "java.util.function.IntConsumer",
        "{ if (davyHook != null) { davyHook.accept($1); } }",
        opened(once = true),
        optional = true
      )
    }

  /** Lets the sandboxes of this thread's task connect to a port. */
  private def opened(once: Boolean, byDriver: Boolean = true): IntConsumer = port =>
    if (port > 0 && (byDriver || TaskContext.get() != null))
      DavyWorkers.of(SparkEnv.get).foreach(_.callbackPorts.opened(port, once))

  private def isHere: Boolean = DavyWorkers.of(SparkEnv.get).isDefined

  /** Patches what is there to patch, once per JVM; the sentence of what is in the way, if any. */
  def apply(): Option[String] = synchronized {
    patches
      .filter(p => exists(p.target) && !done(p) && !(p.optional && lacks(p)))
      .flatMap(install)
      .headOption
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
            s"say (${patch.method} of ${patch.target}), because this JVM ran Python work without Davy before. " +
            "Start the application in a new JVM."
        )
    }

  private def read(name: String): CtClass = {
    val pool = new ClassPool(true)
    pool.appendClassPath(new LoaderClassPath(loader))
    pool.get(name)
  }

  private def lacks(patch: Patch): Boolean =
    read(patch.target).getDeclaredMethods(patch.method).isEmpty

  private def define(patch: Patch): Class[_] = {
    val target = read(patch.target)
    target.addField(CtField.make(s"public static volatile ${patch.hookType} $Field;", target))
    for ((name, line) <- patch.more + (patch.method -> patch.line)) {
      val methods = target
        .getDeclaredMethods(name)
        .filter(m => patch.parameters.forall(_ == m.getParameterTypes.length))
      if (methods.isEmpty) throw new NoSuchMethodException(name)
      methods.foreach(_.insertBefore(line))
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
