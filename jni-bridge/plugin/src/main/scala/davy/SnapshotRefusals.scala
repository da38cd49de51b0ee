package davy

import java.util.concurrent.atomic.LongAdder

/** How many tasks had to load their function themselves, by class of reason. */
final class SnapshotRefusals {
  import SnapshotRefusals._

  private val counts = Classes.map(_ -> new LongAdder).toMap

  def count(reason: String): Unit = counts(classOf(reason)).increment()

  def of(name: String): Long = counts(name).sum
}

object SnapshotRefusals {

  /** What a reason begins with, as `davy_job.py` and the runtime's `job.rs` say it. */
  private val Beginnings = Seq(
    "it holds an open file" -> "openFiles",
    "it holds a generator of random numbers" -> "randomNumbers",
    "it changes the random numbers" -> "randomNumbers",
    "it holds a generator that has begun" -> "generators",
    "it prints or changes files" -> "prints",
    "it changes " -> "environment"
  )
  private val Other = "other"

  val Classes: Seq[String] = Beginnings.map(_._2).distinct :+ Other

  def classOf(reason: String): String =
    Beginnings
      .collectFirst { case (begin, name) if reason.startsWith(begin) => name }
      .getOrElse(Other)
}
