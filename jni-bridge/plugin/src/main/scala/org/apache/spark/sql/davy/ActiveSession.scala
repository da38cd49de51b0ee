package org.apache.spark.sql.davy

import org.apache.spark.sql.classic.SparkSession

/** The session whose request this thread of a driver serves. */
private[spark] object ActiveSession {

  /** Another one for each session. */
  def id: Option[String] = SparkSession.getActiveSession.map(_.sessionUUID)
}
