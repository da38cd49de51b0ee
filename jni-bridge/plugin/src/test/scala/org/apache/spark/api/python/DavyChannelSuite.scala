package org.apache.spark.api.python

import java.net.SocketTimeoutException
import java.nio.ByteBuffer
import java.nio.channels.{ClosedByInterruptException, ClosedChannelException, SelectionKey}

import davy.{DavyException, FakeSandboxes, Guest, Sandbox, TaskLimits}

class DavyChannelSuite extends munit.FunSuite {
  private class Guarded(room: Int = 4) {
    val native = new FakeSandboxes(room)
    val sandbox =
      new Sandbox(() => Guest(native, native.startSandbox(7, "{}")), TaskLimits(0, 0, 0), () => ())
    val worker = new DavyWorker(new DavyChannel(sandbox), _ => ())
    val channel = worker.davyChannel
    worker.refreshNonBlocking()

    def read(): String = {
      val into = ByteBuffer.allocate(64)
      val n = channel.read(into)
      if (n < 0) "end" else new String(into.array(), 0, n)
    }
    def write(text: String): Int = channel.write(ByteBuffer.wrap(text.getBytes))
  }
  private val fault = new DavyException("limit", "The deadline of 1 s is over.")

  test("a select finds what is ready, of what is wanted") {
    val f = new Guarded
    assertEquals(f.worker.selector.select(0), 1)
    assert(!f.worker.selectionKey.isReadable && f.worker.selectionKey.isWritable)
    assertEquals(f.write("abcdef"), 4)
    assertEquals(f.write("ef"), 0)
    assertEquals(f.worker.selector.selectNow(), 0)
    f.native.say("xyz")
    assertEquals(f.worker.selector.select(0), 1)
    assert(f.worker.selectionKey.isReadable && !f.worker.selectionKey.isWritable)
    assertEquals(f.read(), "xyz")
    f.worker.selectionKey.interestOps(SelectionKey.OP_READ)
    assertEquals(f.worker.selector.select(1), 0)
  }

  test("a select returns 0 after its time, and not before") {
    val f = new Guarded(room = 0)
    val began = System.nanoTime()
    assertEquals(f.worker.selector.select(35), 0)
    assert(System.nanoTime() - began >= 35000000L)
  }

  test("bytes before a fault are read, then the fault is thrown as it is") {
    val f = new Guarded
    f.native.say("last words")
    f.native.end(fault)
    assertEquals(f.worker.selector.select(0), 1)
    assertEquals(f.write("x"), 0)
    assertEquals(f.read(), "last words")
    assertEquals(f.worker.selector.select(0), 1)
    assert(!f.worker.selectionKey.isWritable)
    assertEquals(intercept[DavyException](f.read()).getMessage, fault.getMessage)
  }

  test("in blocking mode a guest that is gone swallows its input, and the reader hears why") {
    val f = new Guarded
    f.channel.configureBlocking(true)
    val out = f.channel.socket().getOutputStream
    f.native.end(fault)
    out.write("much more than there is room for".getBytes)
    val e = intercept[DavyException](f.channel.socket().getInputStream.read())
    assertEquals(e.getMessage, fault.getMessage)
  }

  test("blocking reads wait, and time out like a socket's") {
    val f = new Guarded
    f.channel.configureBlocking(true)
    assert(f.worker.refresh().selector == null)
    val socket = f.channel.socket()
    socket.setSoTimeout(20)
    intercept[SocketTimeoutException](socket.getInputStream.read())
    socket.setSoTimeout(0)
    val speaker = new Thread(() => {
      Thread.sleep(30)
      f.native.say("A")
    })
    speaker.start()
    assertEquals(socket.getInputStream.read(), 'A'.toInt)
    f.native.end()
    assertEquals(socket.getInputStream.read(), -1)
  }

  test("an interruption ends a waiting select, and the sandbox with it") {
    val f = new Guarded(room = 0)
    assertEquals(f.worker.selector.select(1), 0)
    Thread.currentThread().interrupt()
    try intercept[ClosedByInterruptException](f.worker.selector.select(0))
    finally assert(Thread.interrupted(), "the flag stays set, as NIO leaves it")
    assert(f.native.called.contains("stop: the task's thread was interrupted"))
  }

  test("Spark's kill on idle timeout reads the end of output") {
    val f = new Guarded
    f.sandbox.await(1, 0)
    val handle = DavyWorkerHandle.of(f.worker).get
    assert(handle.isAlive)
    assert(handle.destroy())
    assertEquals(f.read(), "end")
  }

  test("a stopped worker frees its sandbox and its channel is closed") {
    val f = new Guarded
    f.sandbox.await(1, 0)
    f.worker.stop()
    f.worker.stop()
    assertEquals(f.native.called.count(_ == "release"), 1)
    assert(!DavyWorkerHandle.of(f.worker).get.isAlive)
    intercept[ClosedChannelException](f.read())
  }

  test("workers are equal only if they are the same: Spark counts broadcasts by worker") {
    val (a, b) = (new Guarded, new Guarded)
    assertNotEquals[PythonWorker, PythonWorker](a.worker, b.worker)
    assertEquals(a.worker.hashCode, a.worker.refreshNonBlocking().hashCode)
  }
}
