package org.apache.spark.api.python

import java.io.File
import java.nio.file.{Files, Path}

import org.apache.spark.davy.SparkFolders

/**
 * The Python path of a worker.
 *
 * @param entries as the guest sees them
 * @param folders to be granted for reading
 */
private[python] final case class WorkerPath(entries: Seq[String], folders: Seq[Path])

private[python] object WorkerPath {

  /**
   * Spark's own Python files and the application's PYTHONPATH. Only the folders of Spark's files
   * are granted; the rest of the path is visible only where a grant makes it so.
   */
  def of(envVars: Map[String, String], privateFolder: => Path): WorkerPath = {
    val merged = PythonUtils.mergePythonPaths(
      PythonUtils.sparkPythonPath,
      envVars.getOrElse("PYTHONPATH", "")
    )
    of(split(merged), split(sys.env.getOrElse("PYTHONPATH", "")), privateFolder)
  }

  /**
   * @param path the application's path
   * @param ambient the process's own, of which Spark's Python files count (YARN announces them
   *   there) and nothing else
   * @param privateFolder for files beside which others lie that the guest must not see
   */
  def of(path: Seq[String], ambient: Seq[String], privateFolder: => Path): WorkerPath = {
    val spark = if (path.exists(isSparks)) Nil else ambient.filter(isSparks)
    // Spark puts its own jar on the path, which holds no Python.
    val wanted = (spark ++ path).distinct.filterNot(_.endsWith(".jar")).map(Path.of(_))
    val entries = wanted.filter(p => p.isAbsolute || isSparks(p.toString)).map { p =>
      if (isSparks(p.toString) && Files.isRegularFile(p)) besideNothingElse(p, privateFolder) else p
    }
    val folders =
      entries.filter(p => isSparks(p.toString) && Files.isRegularFile(p)).map(_.getParent).distinct
    WorkerPath(entries.map(_.toString), folders)
  }

  private def split(path: String): Seq[String] =
    path.split(File.pathSeparatorChar).toSeq.map(_.trim).filter(_.nonEmpty)

  private def isSparks(entry: String): Boolean = {
    val name = entry.substring(entry.lastIndexOf('/') + 1)
    name == "pyspark.zip" || name.startsWith("py4j-") && name.endsWith("-src.zip")
  }

  /** YARN lays Spark's files into the container's folder, where its tokens and logs are too. */
  private def besideNothingElse(file: Path, privateFolder: => Path): Path = {
    val here = Path.of("").toAbsolutePath
    val full = file.toAbsolutePath.normalize
    if (full.getParent != here) full
    else SparkFolders.link(full, privateFolder.resolve(full.getFileName.toString))
  }
}
