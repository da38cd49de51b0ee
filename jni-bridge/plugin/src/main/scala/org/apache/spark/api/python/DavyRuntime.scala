package org.apache.spark.api.python

import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicReference

import scala.util.control.NonFatal

import davy._
import org.apache.spark.{SparkContext, SparkEnv, TaskContext}
import org.apache.spark.davy.SparkFolders
import org.apache.spark.internal.config.Python.{PYTHON_WORKER_MODULE, PYTHON_WORKER_REUSE}
import org.slf4j.LoggerFactory

/**
 * Davy in one SparkEnv: it starts sandboxes with what this Spark application grants them, and frees
 * whatever is left when the application ends.
 */
private[spark] final class DavyRuntime(conf: DavyConf, env: SparkEnv, image: ImageOpening) {
  import DavyRuntime._

  private val log = LoggerFactory.getLogger("davy.DavyRuntime")
  private val folders = new SparkFolders(env)
  private val live = ConcurrentHashMap.newKeySet[DavyWorker]()
  private val memory = new SparkMemory(env.conf, conf.chargeMemory)
  private val onDriver = env.executorId == SparkContext.DRIVER_IDENTIFIER
  @volatile private var closed = false

  /** Whether Spark's memory manager grants what tasks hold. */
  val chargesMemory: Boolean = conf.chargeMemory

  /** Whether a sandbox serves one task after another. */
  val reuse: Boolean = env.conf.get(PYTHON_WORKER_REUSE)

  /** Idle sandboxes kept for one factory. Spark 4.1 has a setting for it; 4.0 keeps them all. */
  val maxIdle: Int = env.conf
    .getOption("spark.python.factory.idleWorkerMaxPoolSize")
    .flatMap(_.toIntOption)
    .filter(_ > 0)
    .getOrElse(
      math.max(Runtime.getRuntime.availableProcessors, env.conf.getInt("spark.executor.cores", 1))
    )

  /** Why functions were not shared, by class of reason, and how many tasks each concerned. */
  val refusals = new SnapshotRefusals

  /**
   * A worker whose sandbox boots at its first use.
   *
   * @param python what stock Spark would start
   * @param tenant whose tasks it will serve, if any
   */
  def start(
      python: String,
      module: String,
      envVars: Map[String, String],
      reuse: Boolean,
      tenant: Option[String]
  ): DavyWorker = {
    val scratch = new AtomicReference[SparkFolders.Scratch]
    val self = new AtomicReference[DavyWorker]
    val sandbox = new Sandbox(
      () => boot(python, module, envVars, reuse, tenant, scratch),
      TaskLimits(conf.deadlineMillis, conf.cpuMillis, conf.callMillis),
      () => {
        Option(scratch.get).foreach(_.deleteLater())
        live.remove(self.get)
        log.debug(s"Davy freed a sandbox of $module")
      },
      memory
    )
    tenant.foreach(sandbox.belongTo)
    val worker = new DavyWorker(new DavyChannel(sandbox), endOfTask)
    self.set(worker)
    live.add(worker)
    if (closed) worker.stop()
    worker
  }

  /**
   * Has the snapshot of a booted worker made or loaded, beside the executor's start: the first task
   * finds it. A task with another environment boots its own, as it would without this.
   */
  def warm(): Unit = {
    val run: Runnable = () =>
      try {
        // PySpark's own default, for keys that are strings.
        val environment = Map("PYTHONHASHSEED" -> "0") ++ env.conf.getExecutorEnv
        val module = env.conf.get(PYTHON_WORKER_MODULE).getOrElse(Worker)
        val worker = start(NoPython, module, environment, reuse = false, tenant = None)
        val sandbox = worker.davyChannel.sandbox
        try {
          sandbox.await(Sandboxes.Readable, 0)
          sandbox.closeInput()
          // It ends when it has booted.
          sandbox.await(Sandboxes.Readable, WarmMillis)
          log.debug(s"Davy is warm: ${sandbox.figures}")
        } finally worker.stop()
      } catch {
        // Whatever it is, the first task meets it too, and tells it.
        case NonFatal(e) => log.debug("Davy could not warm up", e)
      }
    val thread = new Thread(run, "davy-warm")
    thread.setDaemon(true)
    thread.start()
  }

  /** Where Spark serves what Python calls back for. */
  val callbackPorts = new CallbackPorts

  /** A worker for the parts of Spark that make their own factory, without a SparkEnv's. */
  def simpleWorker(
      python: String,
      module: String,
      envVars: Map[String, String],
      blocking: Boolean
  ): (PythonWorker, Option[ProcessHandle]) = {
    val worker = start(python, module, envVars, reuse = false, Some(Tenant.here()))
    callbackPorts.handedTo(worker.sandbox)
    worker.davyChannel.configureBlocking(blocking)
    worker.refresh()
    (worker, DavyWorkerHandle.of(worker))
  }

  def isClosed: Boolean = closed

  /** Sandboxes that live and that no task uses. */
  def idleSandboxes: Long = live.stream.filter(_.davyChannel.sandbox.isResting).count()

  /** JSON; none before the image is open. */
  def engineStats: Option[String] = image.opened.map(_.sandboxes.engineStats())

  /** Tells of a task's job snapshot: of each task in the gauges, of each function in the log. */
  def endOfTask(sandbox: Sandbox): Unit = sandbox.figuresOfTask().foreach { figures =>
    log.debug(s"Davy served a task: $figures")
    figures.jobRefused.foreach { why =>
      refusals.count(why)
      if (figures.job == s"refused: $why")
        log.info(s"Davy loads a task's function in each sandbox: $why")
    }
    if (figures.job == "made")
      log.info("Davy keeps a task's loaded function and broadcasts for later tasks")
  }

  /** Stops every sandbox that is left. */
  def close(): Unit = {
    closed = true
    live.forEach(_.stop())
  }

  /** On the thread that needs the sandbox, outside Spark's locks. */
  private def boot(
      python: String,
      module: String,
      envVars: Map[String, String],
      reuse: Boolean,
      tenant: Option[String],
      scratch: AtomicReference[SparkFolders.Scratch]
  ): Guest = {
    val opened = image.await(() => Interruption.check())
    val own = folders.newScratch()
    scratch.set(own)
    val path = WorkerPath.of(envVars, folders.privateFolder)
    val files = folders.filesRoot(envVars.get("SPARK_JOB_ARTIFACT_UUID").filter(_ != "default"))
    val name = taskName(module)
    val spec = SandboxSpec(
      worker = module,
      env = envVars + ("PYTHONPATH" -> path.entries.mkString(java.io.File.pathSeparator)),
      sysPath = path.entries,
      cwd = files.filter(_.ofSession).map(_.path.toString),
      environment = files.flatMap(_.environmentOf(python)).map(_.toString),
      reuse = reuse,
      dirs = workingFolder(own, files) +:
        (path.folders ++ files.map(_.path)).map(p => DirGrant(p, p.toString)),
      admits = folders.admits,
      callbacks = folders.callbacks,
      tenant = tenant,
      name = name
    )
    log.debug(s"Davy starts a sandbox of $module for $name")
    Guest(opened.sandboxes, opened.sandboxes.startSandbox(opened.handle, spec.toJson(conf)))
  }

  /**
   * Where a task works. The working folder of a stock executor holds the files that the application
   * adds, and a task finds them there by their names alone; the driver's does not.
   */
  private def workingFolder(
      own: SparkFolders.Scratch,
      files: Option[SparkFolders.FilesRoot]
  ): DirGrant =
    DirGrant(
      own.path,
      SandboxSpec.GuestScratch,
      write = true,
      conf.scratchBytes,
      lower = files.filterNot(_.ofSession || onDriver).map(_.path.toString)
    )

  private def taskName(module: String): String = Option(TaskContext.get()).fold(module) { task =>
    s"task ${task.partitionId()}.${task.attemptNumber()} in stage ${task.stageId()} " +
      s"(TID ${task.taskAttemptId()})"
  }
}

private[spark] object DavyRuntime {

  /** What Spark runs in a worker unless it is told otherwise. */
  private val Worker = "pyspark.worker"

  /** Of a sandbox that serves no task. */
  private val NoPython = ""

  /** A slow machine that boots its first guest. */
  private val WarmMillis = 60000L
}
