package org.apache.spark.davy

import java.io.{ByteArrayInputStream, DataInputStream, EOFException, IOException, InputStream}
import java.nio.ByteBuffer
import java.util.Arrays
import scala.util.Random

import davy.DavyException

/** Lengths that a guest says of its frames. */
class FrameBytesSuite extends munit.FunSuite {
  private def stream(bytes: Array[Byte]) = new DataInputStream(new ByteArrayInputStream(bytes))

  test("a short frame, and a length that is none, is left to Spark and untouched") {
    for (length <- Seq(0, 1, 1 << 20, -1, Int.MinValue)) {
      val from = stream(Array.fill(3)(7))
      assertEquals(FrameBytes.read(length, from), None)
      assertEquals(from.available, 3)
    }
  }

  test("a long frame comes whole, and no byte of the next one") {
    val random = new Random(5)
    for (length <- Seq((1 << 20) + 1, 2 << 20, (2 << 20) + 1, 5000001)) {
      val bytes = random.nextBytes(length + 9)
      val from = stream(bytes)
      val read = FrameBytes.read(length, from).get
      assert(Arrays.equals(read, bytes.take(length)), s"$length bytes")
      assertEquals(from.available, 9)
    }
  }

  test("what was only said takes no memory") {
    var wanted = 0L
    val empty = new InputStream {
      override def read(): Int = -1
      override def read(into: Array[Byte], at: Int, most: Int): Int = {
        wanted += into.length
        -1
      }
    }
    intercept[EOFException](
      FrameBytes.read(Int.MaxValue, new DataInputStream(empty), Long.MaxValue)
    )
    assert(wanted <= (1 << 20), s"$wanted bytes were made room for")
  }

  test("a length beyond half of the heap is a limit with its numbers") {
    def said(length: Int) =
      intercept[DavyException](FrameBytes.read(length, stream(Array.empty), most = 64 << 20))
    for (length <- Seq((64 << 20) + 1, Int.MaxValue)) assertEquals(said(length).fault, "limit")
    assertEquals(
      said(Int.MaxValue).getMessage,
      "the code sends 2048.0 MiB in one piece, and half of the executor's heap is 64.0 MiB. Give smaller " +
        "values, or raise spark.executor.memory (spark.driver.memory in local mode)"
    )
  }

  private def lengths(n: Int*): Array[Byte] =
    n.flatMap(ByteBuffer.allocate(4).putInt(_).array).toArray

  test("messages to the state of a query, and values for its lists") {
    val long = Array.fill[Byte]((1 << 20) + 1)(7)
    for (bytes <- Seq(Array.empty[Byte], Array[Byte](1, 2, 3), long))
      assert(Arrays.equals(FrameBytes.message(stream(lengths(bytes.length) ++ bytes)), bytes))
    val from = stream(lengths(2) ++ Array[Byte](1, 2) ++ lengths(0, -1, 9))
    assertEquals(FrameBytes.values(from).map(_.toSeq).toSeq, Seq(Seq[Byte](1, 2), Seq.empty))
    assertEquals(from.readInt(), 9)
    // Less than half of the heap: it is read as it comes.
    val said = (Runtime.getRuntime.maxMemory / 2 - 1).min(Int.MaxValue - 8).toInt
    intercept[EOFException](FrameBytes.message(stream(lengths(said) ++ Array[Byte](1))))
    for (read <- Seq[DataInputStream => Any](FrameBytes.message, FrameBytes.values(_).toSeq)) {
      val most = Runtime.getRuntime.maxMemory / 2
      if (most < Int.MaxValue) intercept[DavyException](read(stream(lengths(Int.MaxValue))))
    }
  }

  test("a value of a pickle is no longer than the pickle") {
    for ((length, there) <- Seq(0L -> 0, 5L -> 5, 5L -> 9, -1L -> 0))
      FrameBytes.pickled(length, new ByteArrayInputStream(new Array[Byte](there)))
    for (length <- Seq(6L, Int.MaxValue.toLong, Long.MaxValue)) {
      val e = intercept[IOException](
        FrameBytes.pickled(length, new ByteArrayInputStream(new Array[Byte](5)))
      )
      assertEquals(e.getMessage, "expected more bytes in input stream")
    }
  }
}
