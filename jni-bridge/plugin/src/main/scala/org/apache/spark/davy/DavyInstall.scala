package org.apache.spark.davy

import scala.util.control.NonFatal

import davy.{DavyConf, DavyException, ImageOpening}
import org.apache.spark.{SparkConf, SparkContext, SparkEnv}
import org.apache.spark.api.python.{DavyWorkers, SparkMemory}
import org.slf4j.LoggerFactory

/** Puts Davy into a SparkEnv. Doing so again changes nothing: local mode does it twice. */
object DavyInstall {
  private val log = LoggerFactory.getLogger("davy.DavyPlugin")

  /** Spark 4.3's dispatcher for UDFs outside of SparkEnv's workers: it starts processes. */
  private val Unified = "spark.sql.execution.udf.unified.execution.enabled"

  /** A driver refuses to start with what cannot work: nothing has run yet. */
  def onDriver(sc: SparkContext): Unit = {
    val conf = DavyConf.of(sc.conf.getAll)
    checkMemory(conf, sc.conf)
    SparkPatch().foreach(problem => throw DavyException.host(problem))
    DavyWorkers.install(sc.env, conf, ImageOpening.of(conf))
    if (conf.columnar) addExtension(sc)
    if (hasUnified) sc.conf.set(Unified, "false")
    // Workers call back to their executors; a guest has no network, but may have these sockets.
    val _ = sc.conf.setIfMissing(SparkFolders.UnixSockets, "true")
    JarShipping.ship(sc)
  }

  /** Sessions are made after the plugin's driver part has started. */
  private def addExtension(sc: SparkContext): Unit = {
    val ours = "org.apache.spark.sql.davy.DavyExtensions"
    val others = sc.conf.getOption(Extensions).toSeq.flatMap(_.split(',')).map(_.trim)
    val all = others.filter(name => name.nonEmpty && name != ours) :+ ours
    val _ = sc.conf.set(Extensions, all.mkString(","))
  }
  private val Extensions = "spark.sql.extensions"

  /**
   * An executor starts in any case: one whose plugin throws exits, Spark starts the next, and
   * nobody reads why. Its tasks fail instead, with the sentence.
   */
  def onExecutor(env: SparkEnv): Unit =
    try {
      val conf = DavyConf.of(env.conf.getAll)
      checkMemory(conf, env.conf)
      SparkPatch().foreach(problem => throw DavyException.host(problem))
      FilesFolder.give(env)
      DavyWorkers.install(env, conf, ImageOpening.of(conf)).warm()
    } catch {
      case NonFatal(e) =>
        log.error("Davy cannot serve this executor; its Python tasks will fail", e)
        val sentence = e match {
          case known: DavyException => known
          case other => DavyException.host(s"Davy cannot serve this executor: $other", other)
        }
        val _ = DavyWorkers.install(env, DavyConf.default, ImageOpening.failed(sentence))
    }

  private def checkMemory(conf: DavyConf, spark: SparkConf): Unit =
    if (conf.chargeMemory) SparkMemory.problem(spark).foreach(p => throw DavyException.host(p))

  /** Stops the sandboxes that are left. */
  def shutdown(env: SparkEnv): Unit = DavyWorkers.of(env).foreach(_.close())

  private def hasUnified: Boolean = {
    val dispatcher = "org/apache/spark/udf/worker/core/direct/DirectWorkerDispatcher.class"
    classOf[SparkEnv].getClassLoader.getResource(dispatcher) != null
  }
}
