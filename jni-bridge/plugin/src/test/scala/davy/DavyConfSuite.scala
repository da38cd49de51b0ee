package davy

import java.nio.file.Path

class DavyConfSuite extends munit.FunSuite {
  private def of(settings: (String, String)*) = DavyConf.of(settings)

  test("absent settings have their defaults, and other settings of Spark are nobody's business") {
    val conf = of("spark.master" -> "local", "spark.davyx" -> "1")
    assertEquals(conf, DavyConf.default)
    assertEquals(conf.memoryBytes, 2L << 30)
    assertEquals(conf.channelBytes, 256 << 10)
    assertEquals(conf.grantRead, Nil)
  }

  test("values have Spark's units") {
    val conf = of(
      "spark.davy.memory" -> "512m",
      "spark.davy.deadline" -> "10min",
      "spark.davy.cpuTime" -> "90",
      "spark.davy.outputBytes" -> "1GiB",
      "spark.davy.grant.read" -> " /data/a , /data/b/../c"
    )
    assertEquals(conf.memoryBytes, 512L << 20)
    assertEquals(conf.deadlineMillis, 600000L)
    assertEquals(conf.cpuMillis, 90000L)
    assertEquals(conf.outputBytes, 1L << 30)
    assertEquals(conf.grantRead, Seq(Path.of("/data/a"), Path.of("/data/c")))
  }

  for (
    (key, value, sentence) <- Seq(
      (
        "spark.davy.memroy",
        "1g",
        "unknown setting spark.davy.memroy; did you mean spark.davy.memory?"
      ),
      (
        "spark.davy.grants.read",
        "/x",
        "unknown setting spark.davy.grants.read; did you mean spark.davy.grant.read?"
      ),
      ("spark.davy.turbo", "1", "unknown setting spark.davy.turbo; see docs/settings.md"),
      (
        "spark.davy.memory",
        "5g",
        """spark.davy.memory is "5g"; it must be a size such as 512m or 2g, """ +
          "at least 33554432 bytes, at most 4294901760 bytes"
      ),
      (
        "spark.davy.deadline",
        "soon",
        """spark.davy.deadline is "soon"; it must be a time such as 500ms, 30s, 10m or 2h"""
      ),
      (
        "spark.davy.openFiles",
        "-1",
        """spark.davy.openFiles is "-1"; it must be a whole number from 16 to 65536"""
      ),
      (
        "spark.davy.grant.write",
        "/data,/",
        """spark.davy.grant.write is "/data,/"; it must be a list of absolute directories """ +
          "other than /, separated by commas"
      ),
      (
        "spark.davy.image",
        "x.davy",
        """spark.davy.image is "x.davy"; it must be an absolute path"""
      )
    )
  ) test(s"$key=$value is refused") {
    assertEquals(intercept[DavyException](of(key -> value)).getMessage, sentence)
  }

  test("distance counts swaps of neighbours as one") {
    assertEquals(NearestName.distance("memroy", "memory"), 1)
    assertEquals(NearestName.distance("", "abc"), 3)
    assertEquals(NearestName.distance("kitten", "sitting"), 3)
  }
}
