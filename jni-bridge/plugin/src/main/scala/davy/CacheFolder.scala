package davy

import java.io.IOException
import java.nio.file.{Files, Path}
import java.nio.file.attribute.{PosixFilePermission, PosixFilePermissions}
import scala.util.control.NonFatal

/** The folder for compiled images. Its files become machine code: only its owner may write. */
private[davy] object CacheFolder {
  private val Private = PosixFilePermissions.fromString("rwx------")

  def of(conf: DavyConf): Path = conf.cacheDir match {
    case Some(chosen) =>
      try Files.createDirectories(chosen)
      catch {
        case e: IOException =>
          throw DavyException.host(s"spark.davy.cache.dir $chosen cannot be made: $e", e)
      }
      if (!Files.isWritable(chosen)) {
        throw DavyException.host(s"spark.davy.cache.dir $chosen is not writable")
      }
      chosen
    case None =>
      inHome(Path.of(System.getProperty("user.home", "")))
        .getOrElse(inTemp(Path.of(System.getProperty("java.io.tmpdir"))))
  }

  private[davy] def inHome(home: Path): Option[Path] =
    if (!home.isAbsolute) None
    else
      try {
        val folder = Files.createDirectories(home.resolve(".cache").resolve("davy"))
        Some(folder).filter(Files.isWritable(_))
      } catch { case NonFatal(_) => None }

  /** A folder that others could have made before us is not trusted; then a fresh one serves. */
  private[davy] def inTemp(temp: Path): Path = {
    val owner = PosixFilePermissions.asFileAttribute(Private)
    val folder = temp.resolve("davy-" + System.getProperty("user.name", "user"))
    try Files.createDirectory(folder, owner)
    catch { case NonFatal(_) => () }
    if (isOurs(folder)) folder else Files.createTempDirectory(temp, "davy-", owner)
  }

  private def isOurs(folder: Path): Boolean =
    try {
      val probe = Files.createTempFile(folder, "probe", "")
      val me =
        try Files.getOwner(probe)
        finally Files.delete(probe)
      !Files.isSymbolicLink(folder) && Files.getOwner(folder) == me &&
      !Files.getPosixFilePermissions(folder).contains(PosixFilePermission.GROUP_WRITE) &&
      !Files.getPosixFilePermissions(folder).contains(PosixFilePermission.OTHERS_WRITE)
    } catch { case NonFatal(_) => false }
}
