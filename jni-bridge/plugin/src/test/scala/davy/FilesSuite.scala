package davy

import java.io.ByteArrayInputStream
import java.nio.file.{Files, Path}
import java.nio.file.attribute.PosixFilePermissions

class FilesSuite extends munit.FunSuite {
  private val temp = FunFixture[Path](
    _ => Files.createTempDirectory("davy-test"),
    folder => {
      val all = Files.walk(folder)
      try all.sorted(java.util.Comparator.reverseOrder()).forEach(Files.delete(_))
      finally all.close()
    }
  )

  temp.test("an image is extracted under its digest, again only if it is not whole") { folder =>
    def extract(text: String) =
      ImageFile.extract(() => Some(new ByteArrayInputStream(text.getBytes)), folder)
    val first = extract("one")
    assertEquals(first.getFileName.toString, "python-3.11-7692c3ad3540bb80.davy")
    assertEquals(extract("one"), first)
    assertNotEquals(extract("two"), first)
    Files.writeString(first, "on")
    assertEquals(Files.readString(extract("one")), "one")
    assertEquals(folder.toFile.list().count(_.endsWith(".part")), 0)
    val e = intercept[DavyException](ImageFile.extract(() => None, folder))
    assert(e.getMessage.startsWith("Davy's jar is incomplete"))
  }

  temp.test("a cache folder that others can write to is not used") { folder =>
    val first = CacheFolder.inTemp(folder)
    assertEquals(CacheFolder.inTemp(folder), first)
    assertEquals(PosixFilePermissions.toString(Files.getPosixFilePermissions(first)), "rwx------")
    Files.setPosixFilePermissions(first, PosixFilePermissions.fromString("rwxrwxrwx"))
    assertNotEquals(CacheFolder.inTemp(folder), first)
  }

  temp.test("the cache is in the home folder where there is one") { folder =>
    assertEquals(CacheFolder.inHome(folder), Some(folder.resolve(".cache/davy")))
    assertEquals(CacheFolder.inHome(Path.of("?")), None)
  }
}
