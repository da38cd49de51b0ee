package org.apache.spark.davy

import java.nio.file.{Files, Path}

class SparkFoldersSuite extends munit.FunSuite {

  test("a folder nested deeper than a path can name is deleted, and what links lead to is not") {
    val other = Files.createTempDirectory("davy-other")
    val kept = Files.createFile(other.resolve("kept"))
    val top = Files.createTempDirectory("davy-deep")
    var inner = Files.createDirectory(top.resolve("n0"))
    Files.createFile(inner.resolve("file"))
    Files.createSymbolicLink(inner.resolve("link"), other)
    for (n <- 1 to 1000) {
      val outer = Files.createDirectory(top.resolve(s"a-folder-$n"))
      Files.move(inner, outer.resolve("inner"))
      inner = outer
    }
    SparkFolders.delete(top.toFile)
    assert(!Files.exists(top))
    assert(Files.exists(kept))
    Seq(kept, other).foreach((p: Path) => Files.delete(p))
  }
}
