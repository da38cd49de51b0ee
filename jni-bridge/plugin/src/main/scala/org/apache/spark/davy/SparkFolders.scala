package org.apache.spark.davy

import java.io.{File, IOException}
import java.nio.file.{Files, LinkOption, Path, StandardCopyOption}
import java.util.UUID
import java.util.concurrent.CompletableFuture
import scala.collection.mutable
import scala.jdk.CollectionConverters._
import scala.util.Using

import davy.{Admit, Callbacks, DavyException}
import org.apache.spark.{SparkEnv, SparkFiles}
import org.apache.spark.util.Utils

/** Spark's folders on this machine, and Davy's own beside them. */
private[spark] final class SparkFolders(env: SparkEnv) {
  import SparkFolders._

  // Spark deletes what it made beneath its local folders when the JVM ends.
  private lazy val own: Path = Utils.createTempDir(localRoots.head, "davy").toPath
  private lazy val scratches = Files.createDirectories(own.resolve("scratch"))

  /** Holds Spark's Python files where their own folder must not be shown to a guest. */
  lazy val privateFolder: Path = Files.createDirectories(own.resolve("python"))

  /** For the files that the application adds, on executors; see [[FilesFolder]]. */
  lazy val filesFolder: Path = Files.createDirectories(own.resolve("files"))

  /** A fresh, empty folder that only this user can enter. */
  def newScratch(): Scratch = new Scratch(Files.createTempDirectory(scratches, "s"))

  /**
   * The folder of `SparkFiles`, or that of one session of Spark Connect: its files are nobody
   * else's business.
   */
  def filesRoot(session: Option[String]): Option[FilesRoot] = {
    val root = SparkFiles.getRootDirectory()
    // "." is the process's own folder; an executor has logs there, and on YARN its tokens.
    if (root == ".") None
    else {
      val path = session.fold(Path.of(root))(Path.of(root).resolve(_))
      Some(FilesRoot(Files.createDirectories(path), session.isDefined))
    }
  }

  /**
   * Where broadcasts lie. In local mode, and for what the driver itself runs, the application's
   * Python has written each to its temporary folder. Executors keep them as blocks on disk, where
   * shuffles are too.
   */
  def admits: Seq[Admit] =
    localRoots.map(root => Admit(Path.of(root), Seq("pyspark-*/*"))) ++
      env.blockManager.diskBlockManager.localDirs.toSeq
        .map(blocks => Admit(blocks.toPath, Seq("*/broadcast_*_python")))

  /**
   * Where Spark 4.1 and later put the sockets by which workers call back: barriers, encrypted
   * broadcasts, state. Their names are random UUIDs, told to the one task they serve.
   */
  def callbacks: Option[Callbacks] =
    Option.when(env.conf.getBoolean(UnixSockets, defaultValue = false)) {
      val root = env.conf.get(UnixSocketsFolder, System.getProperty("java.io.tmpdir"))
      Callbacks(Path.of(root).toAbsolutePath.normalize, prefix = ".", suffix = ".sock")
    }

  private lazy val localRoots: Seq[String] = {
    // Takes a SparkConf up to Spark 4.2 and a supertype of it in 4.3: the call compiles for both,
    // but not into one that both have.
    val method = Utils.getClass.getMethods.find(_.getName == "getOrCreateLocalRootDirs")
    val roots = method.map(_.invoke(Utils, env.conf).asInstanceOf[Array[String]]).toSeq.flatten
    if (roots.isEmpty)
      throw DavyException.host("Davy finds no local folder of Spark on this machine")
    roots
  }
}

private[spark] object SparkFolders {

  /** Spark's settings of 4.1 and later. */
  val UnixSockets = "spark.python.unix.domain.socket.enabled"
  private val UnixSocketsFolder = "spark.python.unix.domain.socket.dir"

  /** @param ofSession it belongs to one session of Spark Connect, whose working folder it is */
  final case class FilesRoot(path: Path, ofSession: Boolean) {

    /**
     * The folder of the virtual environment that `python`, as in `./env/bin/python`, is of, if an
     * archive that the job added has it. Stock Spark starts it from here, too.
     */
    def environmentOf(python: String): Option[Path] = {
      val root = path.normalize
      Option(root.resolve(python).normalize.getParent)
        .filter(_.endsWith("bin"))
        .map(_.getParent)
        .filter(home => home.startsWith(root) && home != root)
        .map(home => path.resolve(root.relativize(home)))
        .filter(home => Files.isDirectory(home.resolve("lib")))
    }
  }

  /** The scratch folder of one sandbox. */
  final class Scratch(val path: Path) {

    /** It may hold much, and whoever frees a sandbox may hold Spark's lock. */
    def deleteLater(): Unit = {
      val _ = CompletableFuture.runAsync(() => delete(path.toFile))
    }
  }

  /** Makes `copy` hold the same as `original`, a file or a folder: linked if that is possible. */
  def link(original: Path, copy: Path): Path = {
    val source = original.toRealPath()
    if (!Files.exists(copy)) {
      if (Files.isDirectory(source)) {
        Files.createDirectories(copy)
        Using.resource(Files.list(source)) { children =>
          children.iterator.asScala
            // A link inside an archive may lead anywhere; a guest would not be let through it.
            .filterNot(Files.isSymbolicLink(_))
            .foreach(child => link(child, copy.resolve(child.getFileName.toString)))
        }
      } else
        try Files.createLink(copy, source)
        catch {
          case _: IOException | _: UnsupportedOperationException =>
            Files.copy(source, copy, StandardCopyOption.COPY_ATTRIBUTES)
        }
    }
    copy
  }

  /**
   * Never follows links, which a guest can make, and never goes deep: each folder is first moved
   * to the top, for a guest can nest them beyond what a path can name.
   */
  private[davy] def delete(folder: File): Unit = {
    val left = mutable.Queue(folder)
    while (left.nonEmpty) {
      val next = left.dequeue()
      Option(next.listFiles()).toSeq.flatten.foreach { entry =>
        if (!Files.isDirectory(entry.toPath, LinkOption.NOFOLLOW_LINKS)) entry.delete()
        else if (next eq folder) left += entry
        else {
          val top = new File(folder, UUID.randomUUID().toString)
          if (entry.renameTo(top)) left += top
        }
      }
      if (next ne folder) next.delete()
    }
    val _ = folder.delete()
  }
}
