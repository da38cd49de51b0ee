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

  test("the environment of a Python is found in an added archive, and nowhere else") {
    val root = Files.createTempDirectory("davy-files")
    val folders = Seq("env/lib", "env/bin", "lib", "bin", "empty/bin").map(root.resolve(_))
    folders.foreach(Files.createDirectories(_))
    val files = SparkFolders.FilesRoot(root, ofSession = false)
    val env = Some(root.resolve("env"))
    assertEquals(files.environmentOf("./env/bin/python"), env)
    assertEquals(files.environmentOf("env/bin/python3.11"), env)
    assertEquals(files.environmentOf(s"$root/env/bin/python"), env)
    for (
      other <- Seq(
        "",
        "python3",
        "/usr/bin/python3",
        "./bin/python",
        "./env/python",
        "./empty/bin/python",
        "./absent/bin/python",
        "../env/bin/python",
        "./env/../../bin/python"
      )
    ) assertEquals(files.environmentOf(other), None, other)
    SparkFolders.delete(root.toFile)
  }
}
