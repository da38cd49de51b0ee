package org.apache.spark.davy

import java.net.URI
import java.nio.file.{Files, Path}
import scala.util.Try
import scala.util.control.NonFatal

import org.apache.spark.SparkEnv
import org.slf4j.LoggerFactory

/**
 * Gives an executor a folder for the application's files alone.
 *
 * On executors `SparkFiles` is the process's working folder, which also holds logs and, on YARN,
 * the tokens of the user. A driver has a folder of its own, named by `SparkEnv.driverTmpDir`; the
 * same variable serves for an executor, and Spark fetches what is added later to there.
 */
private[spark] object FilesFolder {
  private val log = LoggerFactory.getLogger("davy.FilesFolder")

  /** What Spark fetched before plugins start. */
  private val Fetched = Seq("spark.app.initial.file.urls", "spark.app.initial.archive.urls")

  /** What YARN laid into the working folder before the executor started. */
  private val LaidByYarn =
    Seq("spark.yarn.dist.files", "spark.yarn.dist.archives", "spark.yarn.dist.pyFiles")

  def give(env: SparkEnv): Unit = if (env.driverTmpDir.isEmpty) {
    val folder = new SparkFolders(env).filesFolder
    val here = Path.of("").toAbsolutePath
    names((Fetched ++ LaidByYarn).flatMap(env.conf.getOption(_)))
      .map(here.resolve(_))
      .filter(Files.exists(_))
      .foreach { file =>
        try SparkFolders.link(file, folder.resolve(file.getFileName.toString))
        catch { case NonFatal(e) => log.warn(s"Davy cannot show $file to Python code", e) }
      }
    env.driverTmpDir = Some(folder.toString)
    log.debug(s"Davy keeps the application's files in $folder")
  }

  /** The local names of URLs in lists: the fragment if there is one, else the last part. */
  private[spark] def names(lists: Seq[String]): Seq[String] =
    lists
      .flatMap(_.split(','))
      .map(_.trim)
      .filter(_.nonEmpty)
      .flatMap(url => Try(new URI(url)).toOption)
      .flatMap { uri =>
        Option(uri.getFragment)
          .filter(_.nonEmpty)
          .orElse(Option(uri.getPath).map(p => p.substring(p.lastIndexOf('/') + 1)))
      }
      .filter(name => name.nonEmpty && name != "." && name != ".." && !name.contains('/'))
      .distinct
}
