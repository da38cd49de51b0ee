package davy

import java.nio.ByteBuffer

/** The methods of the native library, found there by this class's name. */
final class Native private[davy] () extends Sandboxes {
  @native override def openImage(imagePath: String, cacheDir: String, cacheMaxBytes: Long): Long
  @native override def describeImage(image: Long): String
  @native override def startSandbox(image: Long, spec: String): Long
  @native override def await(sandbox: Long, ops: Int, millis: Long): Int
  @native override def wake(sandbox: Long): Unit
  @native override def readArray(sandbox: Long, dst: Array[Byte], off: Int, len: Int): Int
  @native override def readDirect(sandbox: Long, dst: ByteBuffer, pos: Int, len: Int): Int
  @native override def writeArray(sandbox: Long, src: Array[Byte], off: Int, len: Int): Int
  @native override def writeDirect(sandbox: Long, src: ByteBuffer, pos: Int, len: Int): Int
  @native override def closeInput(sandbox: Long): Unit
  @native override def stop(sandbox: Long, reason: String): Unit
  @native override def release(sandbox: Long): Unit
  @native override def beginTask(
      sandbox: Long,
      deadlineMillis: Long,
      cpuMillis: Long,
      callMillis: Long
  ): Unit
  @native override def allowPort(sandbox: Long, port: Int, once: Boolean): Unit
  @native override def putBatch(sandbox: Long, buffers: Array[Long]): Boolean
  @native override def passBatches(sandbox: Long): Unit
  @native override def batchesTaken(sandbox: Long): Long
  @native override def withdrawBatches(sandbox: Long): Unit
  @native override def takeSchema(sandbox: Long): Array[Byte]
  @native override def takeBatch(sandbox: Long): Array[Long]
  @native override def freeBatch(batch: Long): Unit
  @native override def grantMemory(sandbox: Long, bytes: Long): Long
  @native override def refuseMemory(sandbox: Long, why: String): Unit
  @native override def memoryHeld(sandbox: Long): Array[Long]
  @native override def belongTo(sandbox: Long, tenant: String): Unit
  @native override def stats(sandbox: Long): String
  @native override def engineStats(): String
}
