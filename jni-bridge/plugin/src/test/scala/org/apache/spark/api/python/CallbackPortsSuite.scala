package org.apache.spark.api.python

import java.nio.ByteBuffer

import davy.{FakeSandboxes, Guest, Sandbox, TaskLimits}
import org.apache.spark.TaskContext

class CallbackPortsSuite extends munit.FunSuite {
  private class Fake {
    val native = new FakeSandboxes
    val sandbox =
      new Sandbox(() => Guest(native, native.startSandbox(7, "{}")), TaskLimits(0, 0, 0), () => ())
    def use(): Unit = { val _ = sandbox.write(ByteBuffer.wrap(Array[Byte](1))) }
  }

  private def task(context: TaskContext)(body: => Unit): Unit = {
    TaskContext.setTaskContext(context)
    try body
    finally TaskContext.unset()
  }

  test(
    "a task's sandboxes may connect to its ports, whichever was there first, and to no other task's"
  ) {
    val ports = new CallbackPorts
    val (one, two) = (TaskContext.empty(), TaskContext.empty())
    val (first, second, other) = (new Fake, new Fake, new Fake)
    task(one) {
      ports.opened(1, once = false)
      ports.handedTo(first.sandbox)
      first.use()
      ports.opened(2, once = true)
      ports.handedTo(second.sandbox)
    }
    task(two) {
      ports.opened(3, once = false)
      ports.handedTo(other.sandbox)
      other.use()
    }
    second.use()
    assertEquals(
      (first.native.ports, second.native.ports.sorted, other.native.ports),
      (Seq(1, -2), Seq(-2, 1), Seq(3))
    )
    assertEquals(first.native.called.count(_ == "start"), 1)
  }

  test("nothing starts a sandbox before its first use, and the next task has none of the ports") {
    val ports = new CallbackPorts
    val fake = new Fake
    task(TaskContext.empty()) {
      ports.handedTo(fake.sandbox)
      ports.opened(1, once = false)
      assertEquals(fake.native.called, Nil)
    }
    fake.sandbox.beginTask()
    fake.use()
    assertEquals(fake.native.ports, Nil)
  }

  test("a thread without a task has one conversation after another") {
    val ports = new CallbackPorts
    val (first, second) = (new Fake, new Fake)
    ports.handedTo(first.sandbox)
    ports.opened(1, once = false)
    ports.handedTo(second.sandbox)
    ports.opened(2, once = true)
    first.use()
    second.use()
    assertEquals((first.native.ports, second.native.ports), (Seq(1), Seq(-2)))
  }
}
