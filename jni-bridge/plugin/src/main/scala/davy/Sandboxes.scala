package davy

import java.nio.ByteBuffer

/**
 * The native half of Davy, as the plugin sees it. [[Native]] is the real one; tests bring their
 * own.
 *
 * Handles are opaque and never reused. Every method throws [[DavyException]] for a fault.
 */
trait Sandboxes {

  /** Verifies an image, compiles it or loads it from the cache; answers its handle. */
  def openImage(imagePath: String, cacheDir: String, cacheMaxBytes: Long): Long

  /** JSON: python, minor, recipe, packages. */
  def describeImage(image: Long): String

  /** Starts a sandbox from a spec in JSON (see [[SandboxSpec]]); returns before it has booted. */
  def startSandbox(image: Long, spec: String): Long

  /**
   * Waits at most `millis` until one of `ops` is ready, and answers the ready ones; 0 after the
   * time or a [[wake]]. The end of output, and a fault, count as readable.
   */
  def await(sandbox: Long, ops: Int, millis: Long): Int

  /** Makes a waiting [[await]] return. */
  def wake(sandbox: Long): Unit

  /**
   * Bytes read; 0 if there are none now; -1 at the end of output. A fault is thrown after all bytes
   * before it were read.
   */
  def readArray(sandbox: Long, dst: Array[Byte], off: Int, len: Int): Int

  /** As [[readArray]], into a direct buffer. */
  def readDirect(sandbox: Long, dst: ByteBuffer, pos: Int, len: Int): Int

  /** Bytes accepted; 0 if the channel is full. Throws if the guest is gone. */
  def writeArray(sandbox: Long, src: Array[Byte], off: Int, len: Int): Int

  /** As [[writeArray]], from a direct buffer. */
  def writeDirect(sandbox: Long, src: ByteBuffer, pos: Int, len: Int): Int

  /** Says that no more input will come. */
  def closeInput(sandbox: Long): Unit

  /** Traps the guest promptly. Stopping again does nothing. */
  def stop(sandbox: Long, reason: String): Unit

  /** Frees the handle, and stops the sandbox if it runs. */
  def release(sandbox: Long): Unit

  /** Whose tasks the sandbox serves from now on; throws if it has served another's. */
  def belongTo(sandbox: Long, tenant: String): Unit

  /** Arms the limits of the task that begins now; 0 is none. */
  def beginTask(sandbox: Long, deadlineMillis: Long, cpuMillis: Long, callMillis: Long): Unit

  /** The task that has begun may connect to `port` of this machine, once or as often as it will. */
  def allowPort(sandbox: Long, port: Int, once: Boolean): Unit

  /**
   * Puts an Arrow batch for the guest: address and length of each of its buffers. They stay as they
   * are until [[batchesTaken]] counts the batch or [[withdrawBatches]] has returned. False if the
   * guest is gone.
   */
  def putBatch(sandbox: Long, buffers: Array[Long]): Boolean

  /** Says, before its first byte, that the task that has begun passes batches. */
  def passBatches(sandbox: Long): Unit

  /** Batches that the guest has taken in its life. */
  def batchesTaken(sandbox: Long): Long

  /** Takes back all batches that the guest has not taken. */
  def withdrawBatches(sandbox: Long): Unit

  /** The schema that the guest has given, an Arrow schema message. */
  def takeSchema(sandbox: Long): Array[Byte]

  /**
   * The next batch that the guest has given, validated: its handle, address, bytes, rows, number of
   * nodes, number of buffers; then length and nulls of each node; then offset and length of each
   * buffer. The memory is the caller's until [[freeBatch]].
   */
  def takeBatch(sandbox: Long): Array[Long]
  def freeBatch(batch: Long): Unit

  /**
   * Sets what the sandbox may hold of its own, bytes; -1 bounds nothing. To grow past it the guest
   * waits, and [[await]] answers [[Sandboxes.Memory]], until it is granted or refused. Answers what
   * it holds now, which it keeps.
   */
  def grantMemory(sandbox: Long, bytes: Long): Long

  /** Refuses what the guest waits for; `why` is for its MemoryError. */
  def refuseMemory(sandbox: Long, why: String): Unit

  /**
   * What the sandbox holds of its own, bytes: now, at most since it was last without a bound, and
   * what it waits for (0 if it does not).
   */
  def memoryHeld(sandbox: Long): Array[Long]

  /** JSON figures of one sandbox. */
  def stats(sandbox: Long): String

  /** JSON figures of the engine. */
  def engineStats(): String
}

object Sandboxes {

  /** The bits of [[Sandboxes.await]], equal to those of `java.nio.channels.SelectionKey`. */
  val Readable = 1

  /** The guest waits for memory; none of the keys' bits. */
  val Memory = 2
  val Writable = 4
}
