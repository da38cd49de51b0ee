package davy

import java.nio.file.{Files, Path, StandardCopyOption}
import java.nio.file.attribute.PosixFilePermissions

/** Loads the native library that lies inside the jar, once per JVM. */
object NativeLibrary {
  private val Held = "linux-x86_64"

  /** The native half. Each call after a failure tries again. */
  lazy val sandboxes: Sandboxes = {
    load(platform(System.getProperty("os.name"), System.getProperty("os.arch")))
    new Native
  }

  /** The folder of the library for this system, or the sentence that there is none. */
  private[davy] def platform(os: String, arch: String): String = {
    val system = if (os.startsWith("Linux")) "linux" else os.toLowerCase.replace(' ', '-')
    val machine = if (arch == "amd64") "x86_64" else arch
    val wanted = s"$system-$machine"
    if (wanted != Held) {
      throw DavyException.host(
        s"Davy has no native library for $os/$arch; it holds $Held. " +
          "Run the executors on Linux x86-64, or run this job without Davy."
      )
    }
    wanted
  }

  private def load(platform: String): Unit = {
    val resource = s"native/$platform/libdavy_jni.so"
    // A folder of our own: nobody else can put another library there before it is loaded.
    val owner = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"))
    val folder = Files.createTempDirectory("davy-native-", owner)
    val file = folder.resolve("libdavy_jni.so")
    try {
      copy(resource, file)
      System.load(file.toString)
    } catch {
      case e: UnsatisfiedLinkError =>
        throw DavyException.host(s"Davy's native library does not load: ${e.getMessage}", e)
    } finally {
      // A loaded library needs its file no more, and a killed JVM would leave it behind.
      Files.deleteIfExists(file)
      Files.deleteIfExists(folder)
    }
  }

  private def copy(resource: String, file: Path): Unit = {
    val in = getClass.getClassLoader.getResourceAsStream(resource)
    if (in == null) {
      throw DavyException.host(s"Davy's jar is incomplete: it lacks $resource. Build it again.")
    }
    try Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING)
    finally in.close()
  }
}
