package org.apache.spark.davy

import java.nio.file.{Files, Path}
import scala.util.control.NonFatal

import davy.{DavyException, DavyPlugin}
import org.apache.spark.SparkContext
import org.slf4j.LoggerFactory

/**
 * Makes Davy's jar reach the executors even where only the driver was given it: an executor that
 * cannot load a plugin of `spark.plugins` exits at once, and the application would never start.
 */
private[spark] object JarShipping {
  private val log = LoggerFactory.getLogger("davy.JarShipping")

  /** Executors load these before their plugins. Spark wrote it before it started ours. */
  private val InitialJars = "spark.app.initial.jar.urls"

  def ship(sc: SparkContext): Unit = if (!sc.isLocal) {
    val jar = location
    val name = jar.getFileName.toString
    val listed = sc.listJars().exists(_.endsWith("/" + name))
    // Where the executors' class path names it, they have it at that place.
    val onClassPath = sc.conf.getOption("spark.executor.extraClassPath").exists(_.contains(name))
    if (!listed && !onClassPath) {
      if (!Files.isRegularFile(jar)) {
        throw DavyException.host(
          s"Davy runs from $jar, which is no jar, so the executors cannot get it. Pass the jar with " +
            "--jars, or set spark.executor.extraClassPath to where the executors have it."
        )
      }
      // Not `addJar`, by which each executor would fetch it again for its first task.
      val url =
        try sc.env.rpcEnv.fileServer.addJar(jar.toFile)
        catch {
          case NonFatal(e) =>
            throw DavyException.host(s"Davy's jar $jar cannot be sent to the executors: $e", e)
        }
      sc.conf.set(InitialJars, (sc.conf.getOption(InitialJars).toSeq :+ url).mkString(","))
      log.info(s"Davy sends its jar $jar to the executors")
    }
  }

  private def location: Path =
    Option(classOf[DavyPlugin].getProtectionDomain.getCodeSource)
      .map(source => Path.of(source.getLocation.toURI))
      .getOrElse(
        throw DavyException.host("Davy cannot tell which jar it runs from. Pass it with --jars.")
      )
}
