package davy

import java.io.{IOException, InputStream}
import java.nio.file.{Files, Path, StandardCopyOption}
import java.security.{DigestInputStream, MessageDigest}

/** Where the image lies as a file. The native half maps it, so it cannot stay inside the jar. */
private[davy] object ImageFile {
  private val Resource = "image/python-3.11.davy"

  def of(conf: DavyConf, cache: Path): Path = conf.image match {
    case Some(path) if Files.isReadable(path) => path
    case Some(path)                           =>
      throw DavyException.host(
        s"spark.davy.image $path cannot be read on this machine. It must lie at the same path on " +
          "the driver and on every executor."
      )
    case None =>
      extract(
        () => Option(getClass.getClassLoader.getResourceAsStream(Resource)),
        cache.resolve("images")
      )
  }

  /** Copies the image out, under its digest: a newer jar never meets an older jar's file. */
  private[davy] def extract(open: () => Option[InputStream], folder: Path): Path = {
    def resource() = open().getOrElse(
      throw DavyException.host(s"Davy's jar is incomplete: it lacks $Resource. Build it again.")
    )
    val (digest, size) = digestOf(resource())
    val target = folder.resolve(s"python-3.11-${digest.take(16)}.davy")
    try {
      Files.createDirectories(folder)
      // What lies there may have been damaged since: it is read whole before it is believed.
      if (!Files.exists(target) || digestOf(Files.newInputStream(target)) != ((digest, size))) {
        // Executors of one machine may do this at the same time: the rename is atomic.
        val part = Files.createTempFile(folder, "image", ".part")
        try {
          val in = resource()
          try Files.copy(in, part, StandardCopyOption.REPLACE_EXISTING)
          finally in.close()
          Files.move(part, target, StandardCopyOption.ATOMIC_MOVE)
        } finally Files.deleteIfExists(part)
      }
      target
    } catch {
      case e: IOException =>
        throw DavyException.host(
          s"the cache folder $folder cannot hold the image (${size >> 20} MiB): ${e.getMessage}. " +
            "Free some space there, or set spark.davy.cache.dir to another folder (it needs about " +
            "600 MiB)",
          e
        )
    }
  }

  private def digestOf(in: InputStream): (String, Long) = {
    val sha = MessageDigest.getInstance("SHA-256")
    val digesting = new DigestInputStream(in, sha)
    try {
      val buffer = new Array[Byte](1 << 20)
      val size = Iterator.continually(digesting.read(buffer)).takeWhile(_ >= 0).map(_.toLong).sum
      (sha.digest().map(b => f"$b%02x").mkString, size)
    } finally digesting.close()
  }
}
