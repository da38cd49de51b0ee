package davy

import com.fasterxml.jackson.databind.ObjectMapper
import java.nio.file.Path
import java.util.{LinkedHashMap, Map => JavaMap}
import scala.jdk.CollectionConverters._

/**
 * A folder that the guest sees.
 *
 * @param quota most bytes that it may hold; 0 is unlimited
 * @param lower where the guest sees another folder, whose files appear in this one as well
 */
final case class DirGrant(
    host: Path,
    guest: String,
    write: Boolean = false,
    quota: Long = 0,
    lower: Option[String] = None
)

/** Files beneath `root` that the guest may ask for one by one. */
final case class Admit(root: Path, patterns: Seq[String])

/** Unix sockets directly in `root`, named prefix, UUID, suffix, that the host may connect to. */
final case class Callbacks(root: Path, prefix: String, suffix: String)

/**
 * All that a sandbox is started with, as the native half reads it.
 *
 * @param worker Python module to run
 * @param environment folder of the virtual environment whose packages are the job's
 * @param tenant whose tasks it will serve: it may start with what the last of them had loaded
 * @param name appears in logs
 * @param zone local time in the sandbox, unless `env` has TZ
 */
final case class SandboxSpec(
    worker: String,
    env: Map[String, String],
    sysPath: Seq[String],
    cwd: Option[String],
    environment: Option[String],
    reuse: Boolean,
    dirs: Seq[DirGrant],
    admits: Seq[Admit],
    callbacks: Option[Callbacks],
    tenant: Option[String],
    name: String,
    zone: HostZone = HostZone.here
) {
  import SandboxSpec._

  def toJson(conf: DavyConf): String = Mapper.writeValueAsString(
    json(
      "session" -> json(
        "worker" -> worker,
        "env" -> zone.inherited(guestEnv(env)).asJava,
        "localtime" -> zone.localtime.orNull,
        "memory_setting" -> memorySettings(env, conf),
        "sys_path" -> sysPath.asJava,
        "cwd" -> cwd.orNull,
        "environment" -> environment.orNull,
        "reuse" -> reuse,
        "buffer_size" -> env.get("SPARK_BUFFER_SIZE").flatMap(_.toIntOption).getOrElse(65536)
      ),
      "limits" -> json(
        "memory_bytes" -> memoryBytes(env, conf),
        "output_bytes" -> conf.outputBytes,
        "log_bytes" -> conf.logBytes,
        "open_files" -> conf.openFiles
      ),
      "grants" -> json(
        "dirs" -> allDirs(conf).map { d =>
          json(
            "host" -> d.host.toString,
            "guest" -> d.guest,
            "write" -> d.write,
            "quota_bytes" -> d.quota,
            "lower" -> d.lower.orNull
          )
        }.asJava,
        "admit" -> admits.map { a =>
          json("root" -> a.root.toString, "patterns" -> a.patterns.asJava)
        }.asJava,
        "callbacks" -> callbacks
          .map(c => json("root" -> c.root.toString, "prefix" -> c.prefix, "suffix" -> c.suffix))
          .orNull,
        "env" -> json(),
        "clock" -> "real",
        "random" -> "real"
      ),
      "channel_bytes" -> conf.channelBytes,
      "job_snapshots" -> conf.jobSnapshots,
      "tenant" -> tenant.orNull,
      "name" -> name
    )
  )

  private def allDirs(conf: DavyConf): Seq[DirGrant] = {
    val granted = conf.grantWrite.map(d => DirGrant(d, d.toString, write = true)) ++
      conf.grantRead.map(d => DirGrant(d, d.toString))
    // The first grant of a guest path counts: a folder granted for writing is readable anyway.
    (dirs ++ granted).distinctBy(_.guest)
  }
}

object SandboxSpec {
  private val Mapper = new ObjectMapper

  /** Where the guest sees its own scratch folder. */
  val GuestScratch = "/tmp"

  /** What Spark sets for worker processes that a guest cannot follow, or must see otherwise. */
  private def guestEnv(env: Map[String, String]): Map[String, String] =
    env.filterNot { case (name, _) =>
      // These make a worker start threads, of which a guest has none.
      name.startsWith("SPARK_PIPELINED_UDF")
    } + ("SPARK_LOCAL_DIRS" -> GuestScratch)

  /** Spark's own share for the worker wins over Davy's default. */
  private[davy] def memoryBytes(env: Map[String, String], conf: DavyConf): Long =
    sparkMemory(env)
      .map { case (_, mb) => if (mb >= 4096) DavyConf.MaxMemory else mb << 20 }
      .getOrElse(conf.memoryBytes)

  /** What an operator raises after a MemoryError: both may have been met. */
  private def memorySettings(env: Map[String, String], conf: DavyConf): String =
    (if (conf.chargeMemory) "spark.memory.offHeap.size or " else "") + memorySetting(env)

  /** The setting that `memoryBytes` comes from. */
  private[davy] def memorySetting(env: Map[String, String]): String =
    sparkMemory(env).fold("spark.davy.memory")(_._1)

  private def sparkMemory(env: Map[String, String]): Option[(String, Long)] = Seq(
    "PYSPARK_EXECUTOR_MEMORY_MB" -> "spark.executor.pyspark.memory",
    "PYSPARK_PLANNER_MEMORY_MB" -> "spark.sql.planner.pythonExecution.memory"
  ).flatMap { case (name, setting) =>
    env.get(name).flatMap(_.toLongOption).filter(_ > 0).map(setting -> _)
  }.headOption

  private def json(fields: (String, Any)*): JavaMap[String, Any] = {
    val map = new LinkedHashMap[String, Any]
    fields.foreach { case (name, value) => map.put(name, value) }
    map
  }
}
