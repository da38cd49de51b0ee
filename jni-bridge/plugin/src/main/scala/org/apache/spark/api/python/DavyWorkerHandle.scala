package org.apache.spark.api.python

import java.lang.reflect.{InvocationHandler, Method, Proxy}
import java.util.concurrent.CompletableFuture
import scala.util.Try

/**
 * What Spark holds of a worker's process: it asks whether the worker lives, and ends it after an
 * idle timeout.
 *
 * The type is `ProcessHandle` up to Spark 4.2 and Spark's own `PythonWorkerHandle` in 4.3, with the
 * same names and meaning, hence one proxy of both.
 */
private[python] object DavyWorkerHandle {
  private val types: Array[Class[_]] = {
    val name = "org.apache.spark.api.python.PythonWorkerHandle"
    val loader = classOf[PythonWorker].getClassLoader
    Array(Try[Class[_]](Class.forName(name, false, loader)).getOrElse(classOf[ProcessHandle]))
  }

  /** Typed as the Spark we compile against has it; the type is erased. */
  def of(worker: DavyWorker): Option[ProcessHandle] = {
    val handler: InvocationHandler = (proxy, method, args) => answer(worker, proxy, method, args)
    val proxy = Proxy.newProxyInstance(getClass.getClassLoader, types, handler)
    Some(proxy).asInstanceOf[Option[ProcessHandle]]
  }

  private def answer(worker: DavyWorker, proxy: Any, method: Method, args: Array[AnyRef]): AnyRef =
    method.getName match {
      case "isAlive"                     => Boolean.box(!worker.isStopped)
      case "destroy" | "destroyForcibly" =>
        worker.davyChannel.destroy("Spark's idle timeout for Python workers")
        Boolean.box(true)
      case "supportsNormalTermination" => Boolean.box(true)
      case "terminationDiagnostics"    => None
      case "pid"                       => Long.box(ProcessHandle.current().pid())
      case "info"                      => ProcessHandle.current().info()
      case "parent"                    => java.util.Optional.empty()
      case "children" | "descendants"  => java.util.stream.Stream.empty()
      case "onExit"                    => new CompletableFuture[ProcessHandle]()
      case "compareTo"                 => Int.box(worker.hashCode - args(0).hashCode)
      case "hashCode"                  => Int.box(System.identityHashCode(worker))
      case "equals"                    => Boolean.box(proxy.asInstanceOf[AnyRef] eq args(0))
      case "toString"                  => worker.toString
      case other                       => throw new UnsupportedOperationException(other)
    }
}
