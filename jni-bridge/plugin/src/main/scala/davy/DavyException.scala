package davy

/**
 * An error of a sandbox or of Davy itself. The message is a sentence for the person who reads the
 * task's error.
 *
 * It is no `IOException`: Spark's Python reader replaces those by "Python worker exited
 * unexpectedly".
 *
 * @param fault whose error it is: script, limit, guest, image, host or stopped
 */
final class DavyException(val fault: String, message: String) extends RuntimeException(message)

object DavyException {
  val Host = "host"
  val Limit = "limit"
  val Stopped = "stopped"

  def host(message: String): DavyException = new DavyException(Host, message)

  def host(message: String, cause: Throwable): DavyException = {
    val e = host(message)
    e.initCause(cause)
    e
  }

  def guest(what: String): DavyException =
    new DavyException("guest", s"the guest broke its contract: $what")

  def stopped(reason: String): DavyException =
    new DavyException(Stopped, s"The sandbox was stopped: $reason")
}
