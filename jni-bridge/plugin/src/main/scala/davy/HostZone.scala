package davy

import java.nio.file.{Files, Path}
import java.util.Base64
import scala.util.Try

/**
 * The executor's local time zone, which a stock worker would inherit.
 *
 * @param tz the process's TZ variable
 * @param localtime the host's zone file in base64, which counts where TZ names no zone
 */
final case class HostZone(tz: Option[String], localtime: Option[String]) {

  /** `env` with the executor's own TZ unless it has one. */
  def inherited(env: Map[String, String]): Map[String, String] =
    tz.filterNot(_ => env.contains("TZ")).fold(env)(zone => env + ("TZ" -> zone))
}

object HostZone {
  private val LocalTime = Path.of("/etc/localtime")

  /** Zone files have a few KiB; anything larger is something else. */
  private val MaxBytes = 64 << 10

  lazy val here: HostZone = HostZone(
    Option(System.getenv("TZ")),
    Try(Files.readAllBytes(LocalTime)).toOption
      .filter(_.length <= MaxBytes)
      .map(Base64.getEncoder.encodeToString)
  )
}
