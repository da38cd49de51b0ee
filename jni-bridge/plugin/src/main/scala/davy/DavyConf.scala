package davy

import java.nio.file.Path

/** Davy's settings, checked. [[DavyConf.table]] is the whole list. */
final case class DavyConf private (
    image: Option[Path],
    cacheDir: Option[Path],
    cacheMaxBytes: Long,
    memoryBytes: Long,
    chargeMemory: Boolean,
    deadlineMillis: Long,
    callMillis: Long,
    cpuMillis: Long,
    outputBytes: Long,
    logBytes: Long,
    openFiles: Int,
    scratchBytes: Long,
    channelBytes: Int,
    columnar: Boolean,
    jobSnapshots: Boolean,
    grantRead: Seq[Path],
    grantWrite: Seq[Path]
)

object DavyConf {
  private val Prefix = "spark.davy."

  /** What 32-bit WebAssembly can address, less the last page. */
  private[davy] val MaxMemory: Long = (4L << 30) - (64 << 10)

  private val Image = Setting(
    "spark.davy.image",
    Kind.path,
    "",
    "Image to run instead of the one inside the jar. It must lie at this path on the driver and " +
      "on every executor, and hold the driver's minor version of Python."
  )
  private val CacheDir = Setting(
    "spark.davy.cache.dir",
    Kind.path,
    "",
    "Folder for compiled images. Whoever can write to it can run code in the executors. Without " +
      "it: `~/.cache/davy` of the executor's user, or a folder of that user's own under " +
      "`java.io.tmpdir` if the home is not writable."
  )
  private val CacheMaxBytes = Setting(
    "spark.davy.cache.maxBytes",
    Kind.bytes(0),
    "1g",
    "Size that the cache is kept under; the entries unused for longest go first."
  )
  private val Memory = Setting(
    "spark.davy.memory",
    Kind.bytes(32L << 20, MaxMemory),
    "2g",
    "Memory limit of one sandbox. Applies where `spark.executor.pyspark.memory` is not set; that " +
      "one is divided by the executor's concurrent tasks. Past the limit Python sees `MemoryError`."
  )
  private[davy] val ChargeMemory = Setting(
    "spark.davy.memory.charge",
    Kind.flag,
    "false",
    "Whether a task's sandbox acquires its memory from Spark's memory manager, off-heap, before it " +
      "grows, and its Arrow batches outside of it theirs: it is part of the task's peak off-heap " +
      "execution memory, makes Spark's own consumers spill, and where Spark refuses the sandbox, " +
      "Python sees `MemoryError`; where it refuses a batch, the task fails. Needs " +
      "`spark.memory.offHeap.enabled` and `spark.memory.offHeap.size`. The memory of a snapshot is shared by sandboxes and not charged."
  )
  private val Deadline = Setting(
    "spark.davy.deadline",
    Kind.time,
    "0",
    "Longest wall-clock time of one task's Python work; 0 is unlimited."
  )
  private val CallDeadline = Setting(
    "spark.davy.deadline.call",
    Kind.time,
    "0",
    "Longest wall-clock time in which a function may neither take input from Spark nor give results " +
      "to it: that of one batch, or of as many small ones as Spark sends at once. What it waits for " +
      "Spark does not count. 0 is unlimited."
  )
  private val CpuTime = Setting(
    "spark.davy.cpuTime",
    Kind.time,
    "0",
    "Most CPU time of one task's Python work; 0 is unlimited."
  )
  private val OutputBytes = Setting(
    "spark.davy.outputBytes",
    Kind.bytes(0),
    "0",
    "Most bytes that one sandbox may return in its life; 0 is unlimited."
  )
  private val LogBytes = Setting(
    "spark.davy.logBytes",
    Kind.bytes(0),
    "16m",
    "Most bytes of standard output and error that one sandbox may log; the rest is dropped with " +
      "a notice. 0 is unlimited."
  )
  private val OpenFiles = Setting(
    "spark.davy.openFiles",
    Kind.count(16, 65536),
    "256",
    "Most files, folders and streams that one sandbox may hold open."
  )
  private val ScratchBytes = Setting(
    "spark.davy.scratchBytes",
    Kind.bytes(0),
    "8g",
    "Most bytes of files in the scratch folder of one sandbox (`/tmp` in it), where aggregations " +
      "spill as well; 0 is unlimited."
  )
  private val ChannelBytes = Setting(
    "spark.davy.channelBytes",
    Kind.bytes(4096, 1L << 30),
    "256k",
    "Bytes that each direction between Spark and a sandbox buffers before its writer waits."
  )
  private val Columnar = Setting(
    "spark.davy.columnar",
    Kind.flag,
    "true",
    "Whether Arrow batches pass through linear memory, with nodes of Davy's in the plan, instead of " +
      "as streams of bytes. A session may set it too."
  )
  private val JobSnapshots = Setting(
    "spark.davy.snapshot.job",
    Kind.flag,
    "true",
    "Whether tasks with the same function and broadcasts share the memory in which these were loaded " +
      "once, where loading takes long or much memory. Each task has its own copy of what it changes; " +
      "what no task has used for a minute is freed."
  )
  private val GrantRead = Setting(
    "spark.davy.grant.read",
    Kind.directories,
    "",
    "Folders that the Python code may read, at the same path, on every executor and the driver."
  )
  private val GrantWrite = Setting(
    "spark.davy.grant.write",
    Kind.directories,
    "",
    "Folders that the Python code may read, write and remove in."
  )

  /** Every setting there is, in the order of the documentation. */
  private[davy] val table: Seq[Setting[_]] = Seq(
    Image,
    Memory,
    ChargeMemory,
    Deadline,
    CallDeadline,
    CpuTime,
    OutputBytes,
    LogBytes,
    OpenFiles,
    ScratchBytes,
    GrantRead,
    GrantWrite,
    ChannelBytes,
    Columnar,
    JobSnapshots,
    CacheDir,
    CacheMaxBytes
  )

  /** Reads the settings out of Spark's; a key or value that is not known to be right is refused. */
  def of(sparkConf: Iterable[(String, String)]): DavyConf = {
    val settings = sparkConf.filter(_._1.startsWith(Prefix)).toMap
    val known = table.map(_.key)
    settings.keys.toSeq.sorted.filterNot(known.contains).foreach { key =>
      val hint = NearestName.of(key, known).fold("see docs/settings.md")(k => s"did you mean $k?")
      throw DavyException.host(s"unknown setting $key; $hint")
    }
    DavyConf(
      image = Image.in(settings),
      cacheDir = CacheDir.in(settings),
      cacheMaxBytes = CacheMaxBytes.in(settings),
      memoryBytes = Memory.in(settings),
      chargeMemory = ChargeMemory.in(settings),
      deadlineMillis = Deadline.in(settings),
      callMillis = CallDeadline.in(settings),
      cpuMillis = CpuTime.in(settings),
      outputBytes = OutputBytes.in(settings),
      logBytes = LogBytes.in(settings),
      openFiles = OpenFiles.in(settings),
      scratchBytes = ScratchBytes.in(settings),
      channelBytes = ChannelBytes.in(settings).toInt,
      columnar = Columnar.in(settings),
      jobSnapshots = JobSnapshots.in(settings),
      grantRead = GrantRead.in(settings),
      grantWrite = GrantWrite.in(settings)
    )
  }

  val default: DavyConf = of(Nil)
}
