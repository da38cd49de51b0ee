package org.apache.spark.api.python

import java.nio.file.{Files, Path}

import org.apache.spark.davy.FilesFolder

class WorkerPathSuite extends munit.FunSuite {
  private val lib = Files.createTempDirectory("davy-lib")
  private val zips = Seq("pyspark.zip", "py4j-0.10.9.9-src.zip").map(lib.resolve(_))
  zips.foreach(Files.writeString(_, "zip"))
  private def none: Path = fail("no private folder is needed")

  test("Spark's files are granted by their folder; nothing else on the path is") {
    val path = zips.map(_.toString) ++ Seq("/opt/me/code", "relative", "/spark/jars/core.jar")
    val got = WorkerPath.of(path, Nil, none)
    assertEquals(got.entries, zips.map(_.toString) :+ "/opt/me/code")
    assertEquals(got.folders, Seq(lib))
  }

  test("of the process's own path only Spark's files count, and only if they are needed") {
    val got = WorkerPath.of(Seq("/code"), zips.map(_.toString) :+ "/secret", none)
    assertEquals(got.entries, zips.map(_.toString) :+ "/code")
    assertEquals(
      WorkerPath.of(Seq(zips.head.toString), Seq("/x/pyspark.zip"), none).entries.size,
      1
    )
  }

  test("Spark's files in the process's own folder are shown without what lies beside them") {
    val own = Files.createTempDirectory("davy-own")
    val here = Path.of("pyspark.zip").toAbsolutePath
    Files.writeString(here, "zip")
    try {
      val got = WorkerPath.of(Seq(here.toString), Nil, own)
      assertEquals(got.entries, Seq(own.resolve("pyspark.zip").toString))
      assertEquals(got.folders, Seq(own))
    } finally Files.delete(here)
  }

  test("files are known by fragment or last name") {
    val lists = Seq("spark://h:1/files/a%20b.txt,hdfs://n/x/env.tgz#env", "file:/x/lib.py", "x#..")
    assertEquals(FilesFolder.names(lists), Seq("a b.txt", "env", "lib.py"))
  }
}
