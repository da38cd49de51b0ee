package davy

import java.nio.ByteBuffer
import scala.collection.mutable

/**
 * A native half without a guest: tests say what the guest writes, and see what it was given. One
 * sandbox; all calls are recorded.
 */
final class FakeSandboxes(room: Int = Int.MaxValue) extends Sandboxes {
  private val output = mutable.Queue[Byte]()
  private val input = mutable.ArrayBuffer[Byte]()
  private var ended = false
  private var fault: DavyException = _
  private var woken = false
  val calls: mutable.ArrayBuffer[String] = mutable.ArrayBuffer[String]()
  var spec: String = _

  private def locked[T](body: => T): T = synchronized {
    val result = body
    notifyAll()
    result
  }

  /** The guest writes. */
  def say(text: String): Unit = locked(output ++= text.getBytes)

  /** The guest ends. */
  def end(by: DavyException = null): Unit = locked {
    fault = by
    ended = true
  }
  def received: String = synchronized(new String(input.toArray))
  def called: Seq[String] = synchronized(calls.toList)

  override def openImage(imagePath: String, cacheDir: String, cacheMaxBytes: Long): Long = 7
  override def describeImage(image: Long): String = """{"python": "3.11.2"}"""
  override def startSandbox(image: Long, json: String): Long = locked {
    spec = json
    calls += "start"
    1
  }
  override def await(sandbox: Long, ops: Int, millis: Long): Int = synchronized {
    def ready =
      ((if (output.nonEmpty || ended) 1 else 0) | (if (input.size < room || ended) 4 else 0) |
        (if (wanted > 0) Sandboxes.Memory else 0)) & ops
    if (ready == 0 && !woken && millis > 0) wait(millis)
    woken = false
    ready
  }
  override def wake(sandbox: Long): Unit = locked { woken = true }
  override def readArray(sandbox: Long, dst: Array[Byte], off: Int, len: Int): Int = synchronized {
    if (output.isEmpty && fault != null) throw fault
    if (output.isEmpty) { if (ended) -1 else 0 }
    else {
      val n = math.min(len, output.size)
      for (i <- 0 until n) dst(off + i) = output.dequeue()
      n
    }
  }
  override def readDirect(sandbox: Long, dst: ByteBuffer, pos: Int, len: Int): Int = {
    val bytes = new Array[Byte](len)
    val n = readArray(sandbox, bytes, 0, len)
    for (i <- 0 until n) dst.put(pos + i, bytes(i))
    n
  }
  override def writeArray(sandbox: Long, src: Array[Byte], off: Int, len: Int): Int = locked {
    if (fault != null) throw fault
    if (ended) throw new DavyException("script", "the Python worker ended before its input")
    val n = math.min(len, room - input.size)
    input ++= src.slice(off, off + n)
    n
  }
  override def writeDirect(sandbox: Long, src: ByteBuffer, pos: Int, len: Int): Int = {
    val bytes = new Array[Byte](len)
    for (i <- 0 until len) bytes(i) = src.get(pos + i)
    writeArray(sandbox, bytes, 0, len)
  }
  override def closeInput(sandbox: Long): Unit = locked(calls += "closeInput")
  override def stop(sandbox: Long, reason: String): Unit = locked {
    calls += s"stop: $reason"
    if (!ended) fault = DavyException.stopped(reason)
    ended = true
  }
  override def release(sandbox: Long): Unit = locked(calls += "release")
  override def belongTo(sandbox: Long, tenant: String): Unit = locked(
    calls += s"belongTo $tenant"
  )
  override def beginTask(
      sandbox: Long,
      deadlineMillis: Long,
      cpuMillis: Long,
      callMillis: Long
  ): Unit =
    locked(calls += s"beginTask $deadlineMillis $cpuMillis $callMillis")

  /** What the guest waits for; answered by a grant or a refusal. */
  var wanted = 0L
  var has = 0L
  var granted: Long = -1
  var refused: String = _

  /** Negative: once. */
  var ports: Seq[Int] = Nil
  override def grantMemory(sandbox: Long, bytes: Long): Long = locked {
    granted = bytes
    if (bytes < 0 || bytes >= wanted) {
      has = math.max(has, wanted)
      wanted = 0
    }
    has
  }
  override def refuseMemory(sandbox: Long, why: String): Unit = locked {
    refused = why
    wanted = 0
  }
  override def memoryHeld(sandbox: Long): Array[Long] = synchronized(Array(has, has, wanted))
  override def stats(sandbox: Long): String = """{"start_us": 1}"""
  override def engineStats(): String = "{}"
  override def allowPort(sandbox: Long, port: Int, once: Boolean): Unit = locked {
    ports = ports :+ (if (once) -port else port)
  }
  override def putBatch(sandbox: Long, buffers: Array[Long]): Boolean = true
  override def passBatches(sandbox: Long): Unit = ()
  override def batchesTaken(sandbox: Long): Long = 0
  override def withdrawBatches(sandbox: Long): Unit = ()
  override def takeSchema(sandbox: Long): Array[Byte] = Array.emptyByteArray
  override def takeBatch(sandbox: Long): Array[Long] = Array.emptyLongArray
  override def freeBatch(batch: Long): Unit = ()
}
