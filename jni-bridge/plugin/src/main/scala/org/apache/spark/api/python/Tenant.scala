package org.apache.spark.api.python

import org.apache.spark.{SparkContext, TaskContext}
import org.apache.spark.sql.davy.ActiveSession

/**
 * Whose Python code runs on this thread: within one application, which an executor serves alone, the
 * user of the session.
 *
 * Spark Connect serves many users in one application, and puts the user of each operation into the
 * operation's job tag, which Spark gives to the tasks as a local property; the user's own tags have
 * another prefix. All else that runs in an application is the application's user's, and so one tenant.
 */
private[spark] object Tenant {

  /** The user of the application itself. */
  val Application = "application"

  def here(): String = Option(TaskContext.get()) match {
    case Some(task) => of(task.getLocalProperty(Tags)).getOrElse(Application)
    // Python that the driver's planner runs: a request to analyze a query has a session and no tag.
    case None =>
      SparkContext.getActive
        .flatMap(sc => of(sc.getLocalProperty(Tags)))
        .orElse(ActiveSession.id.map(id => s"session $id"))
        .getOrElse(Application)
  }

  /** The users of the operations in a list of job tags: one, unless operations nest. */
  def of(tags: String): Option[String] = {
    val users = Option(tags).toSeq.flatMap(_.split(',')).collect { case Operation(user) => user }
    Option.when(users.nonEmpty)(users.distinct.sorted.mkString("user ", ",", ""))
  }

  /** `SparkContext.SPARK_JOB_TAGS`. */
  private val Tags = "spark.job.tags"

  // As `ExecuteJobTag` of Spark Connect writes it. Session and operation are UUIDs: a user whose name
  // looks like the rest of a tag is still told from others.
  private val Uuid = "[0-9a-fA-F-]{36}"
  private val Operation =
    s"(?s)SparkConnect_OperationTag_User_(.*)_Session_${Uuid}_Operation_$Uuid".r
}
