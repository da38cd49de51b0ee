package org.apache.spark.davy

import com.codahale.metrics.{Gauge, MetricRegistry}
import com.fasterxml.jackson.databind.{JsonNode, ObjectMapper}
import davy.SnapshotRefusals
import org.apache.spark.SparkEnv
import org.apache.spark.api.python.DavyWorkers

/**
 * Davy's gauges in Spark's metrics system, as `<application>.<executor>.plugin.davy.DavyPlugin.<name>`.
 * An executor that has not loaded the native library yet has zeros.
 */
object DavyMetrics {

  /** Name, what it is for people, and its name in the native side's figures. Memory is in bytes. */
  private val native = Seq(
    "sandboxes.live" -> "sandboxes",
    // Without what a sandbox shares with others that started from the same snapshot.
    "sandboxes.ownBytes" -> "own_bytes",
    "snapshots.workerBytes" -> "snapshot_bytes",
    "snapshots.job" -> "job_snapshots",
    "snapshots.jobBytes" -> "job_snapshot_bytes",
    // Given by guests, and not freed by Spark yet.
    "batches.held" -> "batches",
    "batches.heldBytes" -> "batch_bytes"
  )

  def register(registry: MetricRegistry, env: SparkEnv): Unit = {
    val figures = new Figures(env)
    native.foreach { case (name, field) =>
      gauge(registry, name)(figures.now.path(field).asLong)
    }
    gauge(registry, "sandboxes.idle")(runtime(env).fold(0L)(_.idleSandboxes))
    SnapshotRefusals.Classes.foreach { name =>
      gauge(registry, s"snapshots.refused.$name")(runtime(env).fold(0L)(_.refusals.of(name)))
    }
  }

  private def runtime(env: SparkEnv) = DavyWorkers.of(env)

  private def gauge(registry: MetricRegistry, name: String)(value: => Long): Unit = {
    val gauge: Gauge[Long] = () => value
    val _ = registry.register(name, gauge)
  }

  /** One look at the native side serves the gauges that are read together. */
  private final class Figures(env: SparkEnv) {
    private var at = 0L
    private var seen: JsonNode = Mapper.createObjectNode()

    def now: JsonNode = synchronized {
      if (System.nanoTime() - at > FreshNanos) {
        seen = Mapper.readTree(runtime(env).flatMap(_.engineStats).getOrElse("{}"))
        at = System.nanoTime()
      }
      seen
    }
  }
  private val FreshNanos = 100000000L
  private val Mapper = new ObjectMapper
}
