package davy

import com.fasterxml.jackson.databind.ObjectMapper
import java.nio.file.Path

class SandboxSpecSuite extends munit.FunSuite {
  private val env = Map(
    "SPARK_BUFFER_SIZE" -> "4096",
    "SPARK_LOCAL_DIRS" -> "/mnt/spark",
    "SPARK_PIPELINED_UDF" -> "1",
    "SPARK_PIPELINED_UDF_QUEUE_DEPTH" -> "2",
    "PYTHONHASHSEED" -> "0"
  )
  private val spec = SandboxSpec(
    worker = "pyspark.worker",
    env = env,
    sysPath = Seq("/opt/pyspark.zip"),
    cwd = None,
    environment = Some("/files/env"),
    reuse = true,
    dirs = Seq(
      DirGrant(
        Path.of("/local/s1"),
        "/tmp",
        write = true,
        quota = 1L << 30,
        lower = Some("/files")
      ),
      DirGrant(Path.of("/local/files"), "/files")
    ),
    admits = Seq(Admit(Path.of("/local"), Seq("pyspark-*/*"))),
    callbacks = Some(Callbacks(Path.of("/local/sockets"), ".", ".sock")),
    tenant = Some("user ann"),
    name = "task \"0\"",
    zone = HostZone(Some("Europe/Berlin"), Some("VFppZg=="))
  )

  test("the JSON is what the native half reads") {
    val conf = DavyConf.of(
      Seq("spark.davy.grant.read" -> "/data,/out", "spark.davy.grant.write" -> "/out")
    )
    val mapper = new ObjectMapper
    val expected = """{
      "session": {"worker": "pyspark.worker",
        "env": {"SPARK_BUFFER_SIZE": "4096", "SPARK_LOCAL_DIRS": "/tmp", "PYTHONHASHSEED": "0",
          "TZ": "Europe/Berlin"},
        "localtime": "VFppZg==", "memory_setting": "spark.davy.memory",
        "sys_path": ["/opt/pyspark.zip"], "cwd": null,
        "environment": "/files/env", "reuse": true, "buffer_size": 4096},
      "limits": {"memory_bytes": 2147483648, "output_bytes": 0, "log_bytes": 16777216,
        "open_files": 256},
      "grants": {"dirs": [{"host": "/local/s1", "guest": "/tmp", "write": true, "quota_bytes": 1073741824,
            "lower": "/files"},
          {"host": "/local/files", "guest": "/files", "write": false, "quota_bytes": 0, "lower": null},
          {"host": "/out", "guest": "/out", "write": true, "quota_bytes": 0, "lower": null},
          {"host": "/data", "guest": "/data", "write": false, "quota_bytes": 0, "lower": null}],
        "admit": [{"root": "/local", "patterns": ["pyspark-*/*"]}],
        "callbacks": {"root": "/local/sockets", "prefix": ".", "suffix": ".sock"},
        "env": {}, "clock": "real", "random": "real"},
      "channel_bytes": 262144, "job_snapshots": true, "tenant": "user ann", "name": "task \"0\""}"""
    assertEquals(mapper.readTree(spec.toJson(conf)), mapper.readTree(expected))
  }

  test("a zone of the job's own wins over the executor's") {
    val here = HostZone(Some("Europe/Berlin"), None)
    assertEquals(here.inherited(Map("TZ" -> "UTC")), Map("TZ" -> "UTC"))
    assertEquals(here.inherited(Map.empty), Map("TZ" -> "Europe/Berlin"))
    assertEquals(HostZone(None, None).inherited(Map.empty), Map.empty[String, String])
  }

  test("Spark's memory for Python wins, within what 32 bits address") {
    def memory(mb: String) =
      SandboxSpec.memoryBytes(Map("PYSPARK_EXECUTOR_MEMORY_MB" -> mb), DavyConf.default)
    assertEquals(memory("300"), 300L << 20)
    assertEquals(memory("9000"), DavyConf.MaxMemory)
    assertEquals(memory("0"), 2L << 30)
    assertEquals(SandboxSpec.memorySetting(Map.empty), "spark.davy.memory")
    assertEquals(
      SandboxSpec.memorySetting(Map("PYSPARK_EXECUTOR_MEMORY_MB" -> "300")),
      "spark.executor.pyspark.memory"
    )
    assertEquals(
      SandboxSpec.memoryBytes(Map("PYSPARK_PLANNER_MEMORY_MB" -> "64"), DavyConf.default),
      64L << 20
    )
  }
}
