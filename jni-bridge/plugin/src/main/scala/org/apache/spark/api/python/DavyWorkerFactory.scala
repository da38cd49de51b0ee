package org.apache.spark.api.python

import java.util.concurrent.{ConcurrentHashMap, ScheduledThreadPoolExecutor, TimeUnit}
import java.util.concurrent.atomic.AtomicBoolean

import scala.util.control.NonFatal

import davy.IdlePool

/**
 * Makes Spark's Python workers: sandboxes instead of processes. One factory serves one combination
 * of module and environment, as in stock Spark, and of each the sandboxes of all tenants: each goes
 * only to tasks of the tenant that it was started for.
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

  // Those that served a task, and those that have started before any task asked for them.
  private val idle = new IdlePool[DavyWorker](runtime.maxIdle, IdleNanos, () => System.nanoTime())
  private val ahead = new IdlePool[DavyWorker](runtime.maxIdle, IdleNanos, () => System.nanoTime())
  // Handed out, and not seen stopped.
  private val handedOut = ConcurrentHashMap.newKeySet[DavyWorker]()
  private val sweeping = new AtomicBoolean
  @volatile private var stopped = false
  // A guest has booted, and so has made the snapshot that the others start from.
  @volatile private var booted = false

  override def create(): (PythonWorker, Option[ProcessHandle]) = {
    val tenant = Tenant.here()
    val worker = takeFrom(idle, tenant).getOrElse {
      val fresh = takeFrom(ahead, tenant).getOrElse(start(tenant))
      handedOut.add(fresh)
      startAhead(tenant, after = fresh)
      fresh
    }
    runtime.callbackPorts.handedTo(worker.sandbox)
    worker.refreshNonBlocking()
    (worker, DavyWorkerHandle.of(worker))
  }

  private def start(tenant: String): DavyWorker =
    runtime.start(pythonExec, workerModule, envVars, runtime.reuse, Some(tenant))

  private def takeFrom(pool: IdlePool[DavyWorker], tenant: String): Option[DavyWorker] = {
    val found = pool.take(_.sandbox.tenant.contains(tenant), _.sandbox.isIdle)(_.stop())
    found.foreach(_.davyChannel.sandbox.beginTask())
    found
  }

  /**
   * Starts one more for the tenant's next task, beside the tasks. Not before one has booted: it starts
   * from the snapshot which that one makes.
   */
  private def startAhead(tenant: String, after: DavyWorker): Unit =
    if (!stopped && wantsAhead(tenant)) {
      val next: Runnable = () =>
        // A short task's may be gone by now.
        if (booted || after.davyChannel.sandbox.hasBooted) {
          booted = true
          if (!stopped && wantsAhead(tenant)) putAhead(tenant)
        } else if (!after.isStopped) startAhead(tenant, after)
      val _ = background.schedule(next, AheadMillis, TimeUnit.MILLISECONDS)
    }

  /** Reused sandboxes are as many as tasks at once; of the others, each task needs a new one. */
  private def wantsAhead(tenant: String): Boolean = {
    handedOut.removeIf(_.isStopped)
    val serving = if (runtime.reuse) handedOut.size else 0
    serving + ahead.count(_.sandbox.tenant.contains(tenant)) < runtime.maxIdle
  }

  private def putAhead(tenant: String): Unit = {
    val worker = start(tenant)
    try {
      worker.davyChannel.sandbox.startAhead()
      ahead.put(worker)(_.stop())
    } catch {
      // Whatever it is, the next task meets it too, and tells it.
      case NonFatal(_) => worker.stop()
    }
    if (stopped) ahead.clear(_.stop()) else sweepLater()
  }

  /** A worker for one conversation, never reused. */
  override private[spark] def createSimpleWorker(
      blockingMode: Boolean
  ): (PythonWorker, Option[ProcessHandle]) =
    runtime.simpleWorker(pythonExec, workerModule, envVars, blockingMode)

  override def releaseWorker(worker: PythonWorker): Unit = {
    worker match {
      case ours: DavyWorker => runtime.endOfTask(ours.sandbox)
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
    ahead.clear(_.stop())
    runtime.close()
  }

  /** One look a minute, while there is anything to look at. */
  private def sweepLater(): Unit = if (sweeping.compareAndSet(false, true)) {
    background.schedule((() => sweep()): Runnable, IdleNanos, TimeUnit.NANOSECONDS)
  }

  private def sweep(): Unit = {
    sweeping.set(false)
    if (idle.expire(_.stop()) | ahead.expire(_.stop())) sweepLater()
  }
}

private[spark] object DavyWorkerFactory {

  /** As long as stock Spark keeps idle workers. */
  private val IdleNanos = TimeUnit.MINUTES.toNanos(1)

  /** Between two looks whether the first sandbox has booted: less than a task takes. */
  private val AheadMillis = 10L

  private val background = {
    val pool = new ScheduledThreadPoolExecutor(
      1,
      (task: Runnable) => {
        val thread = new Thread(task, "davy-workers")
        thread.setDaemon(true)
        thread
      }
    )
    // The thread goes when no factory has anything to start or to look after.
    pool.setKeepAliveTime(10, TimeUnit.SECONDS)
    pool.allowCoreThreadTimeOut(true)
    pool
  }
}
