package davy

import java.nio.ByteBuffer
import java.util.concurrent.atomic.{AtomicBoolean, AtomicInteger}

/** What one task may use; 0 is unlimited. */
final case class TaskLimits(deadlineMillis: Long, cpuMillis: Long, callMillis: Long)

/** A guest that was started. */
final case class Guest(sandboxes: Sandboxes, handle: Long)

/**
 * One sandbox: started by its first use, and freed when its owner has closed it and no thread is
 * inside a native call any more. Safe for any number of threads.
 *
 * It starts late because Spark asks for a worker while it holds the lock of its SparkEnv, which
 * every other task of the executor needs.
 *
 * @param boot starts the guest; it may wait, and throw to give up
 * @param released called once, after the handle was freed
 * @param memory accounts for what each task's guest holds
 */
final class Sandbox(
    boot: () => Guest,
    limits: TaskLimits,
    released: () => Unit,
    memory: TaskMemory = TaskMemory.None
) {
  // The owner counts as one user; whoever takes it to 0 frees the handle.
  private val users = new AtomicInteger(1)
  private val closed = new AtomicBoolean
  private val startLock = new Object
  private val freeLock = new Object
  private var freed = false
  @volatile private var guest: Guest = _
  @volatile private var ready = false
  @volatile private var stopReason: String = _
  @volatile private var account: TaskMemory.Account = TaskMemory.None
  @volatile private var resting = true
  @volatile private var owner: Option[String] = None
  private val portsLock = new Object
  private var ports = Map.empty[Int, Boolean]
  private val untold = new AtomicBoolean

  /** Ready ones of `ops` (see [[Sandboxes]]) within `millis`; 0 if none is. */
  def await(ops: Int, millis: Long): Int = use { g =>
    val mine = account
    val ready = g.sandboxes.await(g.handle, ops | mine.ops, millis)
    if ((ready & Sandboxes.Memory) != 0) mine.serve()
    ready & ~Sandboxes.Memory
  }

  /** Bytes read into `dst`; 0 if there are none now; -1 at the end of output. */
  def read(dst: ByteBuffer): Int =
    if (!dst.hasRemaining) 0
    else if (dst.isDirect) {
      val n = use(g => g.sandboxes.readDirect(g.handle, dst, dst.position(), dst.remaining()))
      if (n > 0) dst.position(dst.position() + n)
      n
    } else {
      val off = dst.arrayOffset() + dst.position()
      val n = use(g => g.sandboxes.readArray(g.handle, dst.array(), off, dst.remaining()))
      if (n > 0) dst.position(dst.position() + n)
      n
    }

  /** Bytes accepted from `src`; 0 if there is no room now. */
  def write(src: ByteBuffer): Int =
    if (!src.hasRemaining) 0
    else {
      val n =
        if (src.isDirect)
          use(g => g.sandboxes.writeDirect(g.handle, src, src.position(), src.remaining()))
        else if (src.hasArray) {
          val off = src.arrayOffset() + src.position()
          use(g => g.sandboxes.writeArray(g.handle, src.array(), off, src.remaining()))
        } else {
          // A read-only view of an array: the native side cannot reach it.
          val copy = new Array[Byte](math.min(src.remaining(), 1 << 16))
          src.duplicate().get(copy)
          use(g => g.sandboxes.writeArray(g.handle, copy, 0, copy.length))
        }
      if (n > 0) src.position(src.position() + n)
      n
    }

  /** See [[Sandboxes.putBatch]]. */
  def putBatch(buffers: Array[Long]): Boolean = use(g => g.sandboxes.putBatch(g.handle, buffers))

  def passBatches(): Unit = use(g => g.sandboxes.passBatches(g.handle))
  def batchesTaken: Long = use(g => g.sandboxes.batchesTaken(g.handle))
  def takeSchema(): Array[Byte] = use(g => g.sandboxes.takeSchema(g.handle))
  def takeBatch(): Array[Long] = use(g => g.sandboxes.takeBatch(g.handle))
  def freeBatch(batch: Long): Unit = guest.sandboxes.freeBatch(batch)

  /** Figures of now, if a guest was started. */
  def figures: Option[Figures] = freeLock.synchronized {
    Option.when(guest != null && !freed)(Figures.parse(guest.sandboxes.stats(guest.handle)))
  }

  /** After it, no memory of a batch that was put is read, whoever has closed what. */
  def withdrawBatches(): Unit = freeLock.synchronized {
    if (guest != null && !freed) guest.sandboxes.withdrawBatches(guest.handle)
  }

  def closeInput(): Unit = ifStarted(g => g.sandboxes.closeInput(g.handle))

  /** Makes a waiting [[await]] of another thread return. */
  def wake(): Unit = ifStarted(g => g.sandboxes.wake(g.handle))

  /** Starts the guest before any task uses it. No task's time runs. */
  def startAhead(): Unit = {
    if (!enter()) throw gone
    try startLock.synchronized(if (guest == null) begin())
    finally leave()
  }

  /** Whether the guest waits for its first byte, or has had it. */
  def hasBooted: Boolean = figures.exists(_.start > 0)

  /** The task that uses this sandbox next has its limits and its ports to itself. */
  def beginTask(): Unit = portsLock.synchronized {
    ready = false
    ports = Map.empty
  }

  /** A port of this machine where Spark serves the task's call-backs. Nothing here waits for a start. */
  def allowPort(port: Int, once: Boolean): Unit = portsLock.synchronized {
    ports += port -> once
    if (ready) ifStarted(g => g.sandboxes.allowPort(g.handle, port, once))
  }

  /** Whose tasks it serves; nobody's if it serves none. */
  def tenant: Option[String] = owner

  /** From now on it serves the tasks of `tenant`, and never another's. */
  def belongTo(tenant: String): Unit = startLock.synchronized {
    if (owner.exists(_ != tenant))
      throw DavyException.host("a sandbox was given to another tenant than it served")
    owner = Some(tenant)
  }

  /** Figures of a task that used it, once for each. */
  def figuresOfTask(): Option[Figures] =
    if (untold.compareAndSet(true, false)) figures else None

  /** No task's time runs while the sandbox is idle, and no task answers for its memory. */
  def endTask(): Unit = {
    account.close()
    account = TaskMemory.None
    ifStarted { g =>
      g.sandboxes.beginTask(g.handle, 0, 0, 0)
      g.sandboxes.grantMemory(g.handle, -1)
    }
    resting = true
  }

  /** Whether it lives and no task uses it. */
  def isResting: Boolean = guest != null && resting

  /** Traps the guest: its channel ends with the fault "stopped". */
  def stop(reason: String): Unit = {
    // Written before `guest` is read, as `started` writes `guest` before it reads this: one of the
    // two sees the other.
    stopReason = reason
    ifStarted(g => g.sandboxes.stop(g.handle, reason))
  }

  def isClosed: Boolean = closed.get

  /** Whether it could serve another task: it runs, and has nothing left to say. */
  def isIdle: Boolean =
    stopReason == null && !closed.get && guest != null &&
      // No use of a task's: it opens no account, and so it cannot wait.
      enter() &&
      (try guest.sandboxes.await(guest.handle, Sandboxes.Readable, 0) == 0
      catch { case _: DavyException => false }
      finally leave())

  /** Stops the guest and frees the handle. Closing again does nothing. */
  def close(reason: String): Unit = if (!closed.get) {
    stop(reason)
    wake()
    if (closed.compareAndSet(false, true)) leave()
  }

  private def use[T](call: Guest => T): T = {
    if (!enter()) throw gone
    try call(started())
    finally leave()
  }

  private def ifStarted(call: Guest => Unit): Unit =
    if (guest != null && enter()) {
      try call(guest)
      finally leave()
    }

  private def started(): Guest = {
    if (!ready) startLock.synchronized {
      if (guest == null) begin()
      if (!ready) {
        owner.foreach(guest.sandboxes.belongTo(guest.handle, _))
        guest.sandboxes.beginTask(
          guest.handle,
          limits.deadlineMillis,
          limits.cpuMillis,
          limits.callMillis
        )
        account = memory.open(guest)
        resting = false
        untold.set(true)
        portsLock.synchronized {
          for ((port, once) <- ports) guest.sandboxes.allowPort(guest.handle, port, once)
          ready = true
        }
      }
    }
    guest
  }

  private def begin(): Unit = {
    if (stopReason != null) throw gone
    val begun = boot()
    guest = begun
    val reason = stopReason
    if (reason != null) begun.sandboxes.stop(begun.handle, reason)
  }

  private def gone = DavyException.stopped(Option(stopReason).getOrElse("it was closed"))

  private def enter(): Boolean = {
    var n = users.get
    while (n > 0 && !closed.get) {
      if (users.compareAndSet(n, n + 1)) return true
      n = users.get
    }
    false
  }

  private def leave(): Unit = if (users.decrementAndGet() == 0) {
    try
      freeLock.synchronized {
        withdrawBatches()
        freed = true
        if (guest != null) guest.sandboxes.release(guest.handle)
      }
    finally released()
  }
}
