package org.apache.spark.api.python

import java.util.concurrent.{ScheduledThreadPoolExecutor, TimeUnit}
import java.util.concurrent.atomic.AtomicBoolean

import davy.IdlePool

/**
 * Makes Spark's Python workers: sandboxes instead of processes. One factory serves one combination
 * of module and environment, as in stock Spark.
 *
 * Nothing here waits: Spark calls [[create]] and [[stopWorker]] under its SparkEnv's lock.
 */
private[spark] final class DavyWorkerFactory(
    pythonExec: String,
    workerModule: String,
    daemonModule: String,
    envVars: Map[String, String],
    useDaemonEnabled: Boolean,
    runtime: DavyRuntime
) extends PythonWorkerFactory(pythonExec, workerModule, daemonModule, envVars, useDaemonEnabled) {
  import DavyWorkerFactory._

  private val idle = new IdlePool[DavyWorker](runtime.maxIdle, IdleNanos, () => System.nanoTime())
  private val sweeping = new AtomicBoolean
  @volatile private var stopped = false

  override def create(): (PythonWorker, Option[ProcessHandle]) = {
    val reused = idle.take(_.davyChannel.sandbox.isIdle)(_.stop())
    reused.foreach(_.davyChannel.sandbox.beginTask())
    val worker = reused.getOrElse(runtime.start(workerModule, envVars, runtime.reuse))
    worker.refreshNonBlocking()
    (worker, DavyWorkerHandle.of(worker))
  }

  /** A worker for one conversation, never reused. */
  override private[spark] def createSimpleWorker(
      blockingMode: Boolean
  ): (PythonWorker, Option[ProcessHandle]) =
    runtime.simpleWorker(workerModule, envVars, blockingMode)

  override def releaseWorker(worker: PythonWorker): Unit = {
    worker match {
      case ours: DavyWorker => runtime.tellOfJob(ours.davyChannel.sandbox)
      case _                => ()
    }
    keep(worker)
  }

  private def keep(worker: PythonWorker): Unit = worker match {
    case ours: DavyWorker if runtime.reuse && !stopped =>
      ours.davyChannel.sandbox.endTask()
      idle.put(ours)(_.stop())
      // `stop` may have emptied the pool meanwhile: nothing may stay behind.
      if (stopped) idle.clear(_.stop()) else sweepLater()
    case other => other.stop()
  }

  override def stopWorker(worker: PythonWorker): Unit = worker.stop()

  override def isWorkerStopped(worker: PythonWorker): Boolean = worker match {
    case ours: DavyWorker => ours.isStopped
    case _                => false
  }

  /** Spark stops its factories when the SparkEnv ends, and with it everything that Davy runs. */
  override def stop(): Unit = {
    stopped = true
    idle.clear(_.stop())
    runtime.close()
  }

  /** One look a minute, while there is anything to look at. */
  private def sweepLater(): Unit = if (sweeping.compareAndSet(false, true)) {
    sweeper.schedule((() => sweep()): Runnable, IdleNanos, TimeUnit.NANOSECONDS)
  }

  private def sweep(): Unit = {
    sweeping.set(false)
    if (idle.expire(_.stop())) sweepLater()
  }
}

private[spark] object DavyWorkerFactory {

  /** As long as stock Spark keeps idle workers. */
  private val IdleNanos = TimeUnit.MINUTES.toNanos(1)

  private val sweeper = {
    val pool = new ScheduledThreadPoolExecutor(
      1,
      (task: Runnable) => {
        val thread = new Thread(task, "davy-idle-sweeper")
        thread.setDaemon(true)
        thread
      }
    )
    // The thread goes when no factory has idle sandboxes.
    pool.setKeepAliveTime(10, TimeUnit.SECONDS)
    pool.allowCoreThreadTimeOut(true)
    pool
  }
}
