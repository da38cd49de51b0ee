package org.apache.spark.api.python

import scala.annotation.nowarn
import scala.collection.mutable

import davy.{DavyConf, DavyException, ImageOpening}
import org.apache.spark.SparkEnv

/**
 * Takes the place of `SparkEnv.pythonWorkers`: asked for a factory that it does not have, it makes
 * ours instead of the stock one. Spark's field is a HashMap, so this must be one too.
 */
@nowarn("msg=inheritance from class HashMap")
private[spark] final class DavyWorkers(val runtime: DavyRuntime)
    extends mutable.HashMap[AnyRef, PythonWorkerFactory] {

  override def getOrElseUpdate(
      key: AnyRef,
      stock: => PythonWorkerFactory
  ): PythonWorkerFactory = getOrElse(
    key, {
      // PythonWorkersKey(pythonExec, workerModule, daemonModule, envVars), a private class
      val fields = key.asInstanceOf[Product]
      val factory = new DavyWorkerFactory(
        fields.productElement(0).asInstanceOf[String],
        fields.productElement(1).asInstanceOf[String],
        fields.productElement(2).asInstanceOf[String],
        fields.productElement(3).asInstanceOf[Map[String, String]],
        // Not in the key, and SparkEnv insists on the same value: only the stock one knows it. It
        // starts no process before it is asked for a worker.
        stock.useDaemonEnabled,
        runtime
      )
      put(key, factory)
      factory
    }
  )
}

private[spark] object DavyWorkers {

  /** Davy in `env`, if it is installed there. */
  def of(env: SparkEnv): Option[DavyRuntime] =
    if (env == null) None
    else
      field.get(env) match {
        case ours: DavyWorkers => Some(ours.runtime)
        case _                 => None
      }

  /** Installs Davy in `env` once; driver and executor of local mode share it. */
  def install(env: SparkEnv, conf: DavyConf, image: => ImageOpening): DavyRuntime =
    // The lock under which Spark uses the map.
    env.synchronized {
      of(env).getOrElse {
        val runtime = new DavyRuntime(conf, env, image)
        field.set(env, new DavyWorkers(runtime))
        runtime
      }
    }

  private lazy val field =
    try {
      val f = classOf[SparkEnv].getDeclaredField("pythonWorkers")
      f.setAccessible(true)
      f
    } catch {
      case e: ReflectiveOperationException =>
        throw DavyException.host(
          s"Davy does not know this Spark (${org.apache.spark.SPARK_VERSION}): it serves 4.0 to " +
            s"4.3 ($e)",
          e
        )
    }
}
