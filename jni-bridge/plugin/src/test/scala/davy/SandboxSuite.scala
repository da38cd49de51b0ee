package davy

import java.nio.ByteBuffer
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicInteger

class SandboxSuite extends munit.FunSuite {
  private class Guarded(boots: => Unit = ()) {
    val native = new FakeSandboxes
    val freed = new AtomicInteger
    val sandbox = new Sandbox(
      () => {
        boots
        Guest(native, native.startSandbox(7, "{}"))
      },
      TaskLimits(30, 20, 10),
      () => { val _ = freed.incrementAndGet() }
    )
  }

  test("it starts at its first use, arms each task's limits, and is freed once") {
    val f = new Guarded
    f.sandbox.wake()
    assertEquals(f.native.called, Nil)
    f.native.say("ab")
    assertEquals(f.sandbox.read(ByteBuffer.allocate(1)), 1)
    assertEquals(f.sandbox.read(ByteBuffer.allocateDirect(4)), 1)
    f.sandbox.endTask()
    f.sandbox.beginTask()
    assertEquals(f.sandbox.write(ByteBuffer.wrap("x".getBytes).asReadOnlyBuffer()), 1)
    assertEquals(f.native.received, "x")
    f.sandbox.close("over")
    f.sandbox.close("over again")
    assertEquals(
      f.native.called,
      Seq(
        "start",
        "beginTask 30 20 10",
        "beginTask 0 0 0",
        "beginTask 30 20 10",
        "stop: over",
        "release"
      )
    )
    assertEquals(f.freed.get, 1)
    val e = intercept[DavyException](f.sandbox.await(1, 0))
    assertEquals((e.fault, e.getMessage), ("stopped", "The sandbox was stopped: over"))
  }

  test("one that starts ahead of its task has no limits until the task uses it") {
    val f = new Guarded
    assert(!f.sandbox.hasBooted)
    f.sandbox.startAhead()
    f.sandbox.startAhead()
    assert(f.sandbox.hasBooted)
    assertEquals(f.native.called, Seq("start"))
    f.sandbox.beginTask()
    assertEquals(f.sandbox.write(ByteBuffer.wrap("x".getBytes)), 1)
    f.sandbox.close("over")
    intercept[DavyException](f.sandbox.startAhead())
    assertEquals(f.native.called, Seq("start", "beginTask 30 20 10", "stop: over", "release"))
  }

  test("one that was never used is closed without a guest") {
    val f = new Guarded
    f.sandbox.close("unused")
    assertEquals(f.native.called, Nil)
    assertEquals(f.freed.get, 1)
    intercept[DavyException](f.sandbox.await(1, 0))
  }

  test("a handle in use is freed only when the call returns") {
    val f = new Guarded
    val waiting = new CountDownLatch(1)
    val waiter = new Thread(() => {
      waiting.countDown()
      val _ = f.sandbox.await(Sandboxes.Readable, 10000)
    })
    waiter.start()
    waiting.await()
    while (f.native.called.size < 2) Thread.sleep(1)
    f.sandbox.close("killed")
    waiter.join(5000)
    assert(!waiter.isAlive)
    assertEquals(f.native.called.last, "release")
    assertEquals(f.freed.get, 1)
  }

  test("a stop while it boots reaches the guest") {
    val (booting, go) = (new CountDownLatch(1), new CountDownLatch(1))
    val f = new Guarded({
      booting.countDown()
      go.await()
    })
    val user = new Thread(() =>
      try { val _ = f.sandbox.await(1, 0) }
      catch { case _: DavyException => () }
    )
    user.start()
    booting.await()
    f.sandbox.stop("too late")
    go.countDown()
    user.join(5000)
    assert(f.native.called.contains("stop: too late"))
    f.sandbox.close("over")
    assertEquals(f.native.called.last, "release")
  }

  test("it is idle while it runs and has nothing to say") {
    val f = new Guarded
    assert(!f.sandbox.isIdle)
    f.sandbox.await(Sandboxes.Writable, 0)
    assert(f.sandbox.isIdle)
    f.native.say("late")
    assert(!f.sandbox.isIdle)
  }

  test("a pool gives the latest, drops the oldest, and lets the idle go") {
    var now = 0L
    val pool = new IdlePool[Int](2, 60, () => now)
    val dropped = scala.collection.mutable.Buffer[Int]()
    def put(i: Int): Unit = pool.put(i)(dropped += _)
    put(1)
    put(2)
    now = 30
    put(3)
    assertEquals(dropped.toList, List(1))
    assertEquals(pool.take(_ => true, _ != 3)(dropped += _), Some(2))
    assertEquals(dropped.toList, List(1, 3))
    put(4)
    now = 89
    assert(pool.expire(dropped += _))
    now = 90
    assert(!pool.expire(dropped += _))
    assertEquals(dropped.toList, List(1, 3, 4))
    put(5)
    pool.clear(dropped += _)
    assertEquals(pool.take(_ => true, _ => true)(dropped += _), None)
  }

  test("an image that cannot be opened fails every task with its sentence") {
    val opening = ImageOpening.failed(new DavyException("image", "The image is damaged."))
    for (_ <- 1 to 2) {
      val e = intercept[DavyException](opening.await(() => ()))
      assertEquals((e.fault, e.getMessage), ("image", "The image is damaged."))
    }
    assert(opening.hasFailed)
  }

  test("waiting for an image can be given up") {
    val never = new CountDownLatch(1)
    val opening = ImageOpening.from({
      never.await()
      OpenedImage(null, 0)
    })
    var looks = 0
    intercept[IllegalStateException](opening.await { () =>
      looks += 1
      if (looks == 3) throw new IllegalStateException("killed")
    })
    never.countDown()
  }

  test("only Linux on x86-64 has a native library") {
    assertEquals(NativeLibrary.platform("Linux", "amd64"), "linux-x86_64")
    val e = intercept[DavyException](NativeLibrary.platform("Mac OS X", "aarch64"))
    assert(e.getMessage.startsWith("Davy has no native library for Mac OS X/aarch64; it holds"))
  }
}
