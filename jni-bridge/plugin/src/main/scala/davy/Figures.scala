package davy

import com.fasterxml.jackson.databind.ObjectMapper

/**
 * What a sandbox has used so far. Times are in microseconds, unless said otherwise.
 *
 * @param memory bytes of linear memory; it never shrinks
 * @param cpu CPU time of the guest's thread, with that of host calls
 * @param copyIn nanoseconds in which Arrow batches were copied into linear memory: small ones take less
 *   than a microsecond
 * @param copyOut nanoseconds in which Arrow batches were copied out of it
 * @param validate time in which Arrow batches of the guest's were validated
 * @param start from the start until the worker could take its first byte; 0 before
 * @param limits how often a limit was met
 * @param job what became of the job snapshot of the task: `used`, `made`, `refused: ` and the
 *   reason, `refused before: ` and the reason for which another task's was refused, or empty
 * @param fromSnapshot whether it started from a snapshot
 */
final case class Figures(
    memory: Long,
    cpu: Long,
    copyIn: Long,
    copyOut: Long,
    validate: Long,
    start: Long,
    limits: Long,
    job: String,
    fromSnapshot: Boolean
) {

  /** Why the task's function is not shared, if that was asked. */
  def jobRefused: Option[String] =
    Seq("refused: ", "refused before: ").find(job.startsWith).map(job.stripPrefix)
}

object Figures {
  private val Mapper = new ObjectMapper

  /** @param json as the native side gives it */
  def parse(json: String): Figures = {
    val found = Mapper.readTree(json)
    def number(name: String): Long = found.path(name).asLong
    Figures(
      number("memory_bytes"),
      number("cpu_us"),
      number("copy_in_ns"),
      number("copy_out_ns"),
      number("validate_us"),
      number("start_us"),
      number("limits_met"),
      found.path("job_snapshot").asText,
      found.path("from_snapshot").asBoolean
    )
  }
}
