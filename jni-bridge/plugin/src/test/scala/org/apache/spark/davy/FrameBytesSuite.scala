package org.apache.spark.davy

import java.io.{ByteArrayInputStream, DataInputStream, EOFException, InputStream}
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
}
