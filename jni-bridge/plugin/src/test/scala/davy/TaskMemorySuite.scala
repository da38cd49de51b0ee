package davy

import scala.collection.mutable

/** When a sandbox opens, serves and closes the account of its memory. */
class TaskMemorySuite extends munit.FunSuite {
  private val said = mutable.ArrayBuffer[String]()
  private val native = new FakeSandboxes
  private object Book extends TaskMemory {
    override def open(guest: Guest): TaskMemory.Account = {
      said += "open"
      new TaskMemory.Account {
        override def ops: Int = Sandboxes.Memory
        override def serve(): Unit = {
          said += s"serve ${native.wanted}"
          native.wanted = 0
        }
        override def close(): Unit = said += "close"
      }
    }
  }

  test("each task has an account of its own, and none is open while the sandbox rests") {
    val sandbox =
      new Sandbox(() => Guest(native, 1), TaskLimits(0, 0, 0), () => said += "released", Book)
    def told(): Seq[String] = {
      val all = said.toList
      said.clear()
      all
    }
    native.wanted = 5
    assertEquals(sandbox.await(Sandboxes.Writable, 0), Sandboxes.Writable)
    assertEquals(told(), Seq("open", "serve 5"))
    assert(!sandbox.isResting)
    sandbox.endTask()
    assert(sandbox.isResting)
    assertEquals(native.granted, -1L)
    assert(sandbox.isIdle)
    assertEquals(told(), Seq("close"))
    sandbox.beginTask()
    assertEquals(sandbox.await(Sandboxes.Writable, 0), Sandboxes.Writable)
    assert(!sandbox.isResting)
    assertEquals(told(), Seq("open"))
    sandbox.close("done")
    assertEquals(told(), Seq("released"))
  }
}
