package davy

import com.fasterxml.jackson.databind.ObjectMapper
import java.nio.file.Files
import java.util.concurrent.{CompletableFuture, ConcurrentHashMap, ExecutionException}
import java.util.concurrent.{TimeUnit, TimeoutException}
import org.slf4j.LoggerFactory
import scala.util.control.NonFatal

/** An image that can start sandboxes. */
final case class OpenedImage(sandboxes: Sandboxes, handle: Long)

/**
 * An image being opened in the background: the first time it is compiled, which takes seconds, and
 * neither the start of an executor nor Spark's locks shall wait for that.
 */
final class ImageOpening(open: => OpenedImage) {
  private val result = new CompletableFuture[OpenedImage]

  private def start(): this.type = {
    val thread = new Thread(
      () =>
        try result.complete(open)
        catch { case e: Throwable => result.completeExceptionally(e) },
      "davy-image"
    )
    thread.setDaemon(true)
    thread.start()
    this
  }

  def hasFailed: Boolean = result.isCompletedExceptionally

  /** The image if it is open by now. */
  def opened: Option[OpenedImage] =
    if (result.isDone && !hasFailed) Option(result.getNow(null)) else None

  /**
   * Waits for the image. `pause` is called every few milliseconds and may throw to give up.
   *
   * Throws what kept the image from being opened, anew for each task.
   */
  def await(pause: () => Unit): OpenedImage = {
    while (!result.isDone) {
      pause()
      try result.get(ImageOpening.SliceMillis, TimeUnit.MILLISECONDS)
      catch {
        case _: TimeoutException     => ()
        case _: ExecutionException   => ()
        case _: InterruptedException =>
          // Left to `pause`, which knows what an interruption means here.
          Thread.currentThread().interrupt()
          pause()
          throw DavyException.stopped("the thread was interrupted")
      }
    }
    try result.join()
    catch {
      case NonFatal(e) =>
        throw (Option(e.getCause).getOrElse(e) match {
          case known: DavyException =>
            val again = new DavyException(known.fault, known.getMessage)
            again.initCause(known)
            again
          case other => DavyException.host(s"Davy's image cannot be opened: $other", other)
        })
    }
  }
}

object ImageOpening {
  private val log = LoggerFactory.getLogger("davy.ImageOpening")
  private val SliceMillis = 10L

  /** An image stays open for the JVM's life: a later SparkContext finds it ready. */
  private val known = new ConcurrentHashMap[Seq[Any], ImageOpening]

  /** The image of `conf`; opened once, and again if that failed. */
  def of(conf: DavyConf): ImageOpening = {
    val file = conf.image.filter(Files.exists(_))
    val state = file.map(f => (Files.size(f), Files.getLastModifiedTime(f)))
    known.compute(
      Seq(conf.image, state, conf.cacheDir),
      (_, old) => if (old == null || old.hasFailed) new ImageOpening(open(conf)).start() else old
    )
  }

  def failed(e: DavyException): ImageOpening = new ImageOpening(throw e).start()

  /** For tests: an image whose native half is theirs. */
  private[davy] def from(open: => OpenedImage): ImageOpening = new ImageOpening(open).start()

  private def open(conf: DavyConf): OpenedImage =
    try {
      val began = System.nanoTime()
      val sandboxes = NativeLibrary.sandboxes
      val cache = CacheFolder.of(conf)
      val file = ImageFile.of(conf, cache)
      val handle = sandboxes.openImage(file.toString, cache.toString, conf.cacheMaxBytes)
      val about = new ObjectMapper().readTree(sandboxes.describeImage(handle))
      val millis = (System.nanoTime() - began) / 1000000
      log.info(
        s"Davy opened image $file: Python ${about.path("python").asText}, recipe " +
          s"${about.path("recipe").asText.take(12)}, in $millis ms"
      )
      OpenedImage(sandboxes, handle)
    } catch {
      case e: Throwable =>
        // Each task that needs the image fails with this; the log has it once, with its trace.
        log.error(s"Davy cannot open its image: ${e.getMessage}", e)
        throw e
    }
}
