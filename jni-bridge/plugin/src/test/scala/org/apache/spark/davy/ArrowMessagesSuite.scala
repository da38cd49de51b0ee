package org.apache.spark.davy

import java.io.{ByteArrayInputStream, ByteArrayOutputStream, IOException}
import java.nio.{ByteBuffer, ByteOrder}
import java.nio.channels.Channels
import scala.jdk.CollectionConverters._
import scala.util.Random

import com.google.flatbuffers.FlatBufferBuilder
import davy.DavyException
import org.apache.arrow.flatbuf.{BodyCompression, Message, RecordBatch}
import org.apache.arrow.flatbuf.{
  Field => FbField,
  KeyValue,
  Null => FbNull,
  Schema => FbSchema,
  Type,
  Union => FbUnion
}
import org.apache.arrow.memory.{ArrowBuf, BufferAllocator, RootAllocator}
import org.apache.arrow.vector.VectorSchemaRoot
import org.apache.arrow.vector.ipc.{ArrowStreamReader, ArrowStreamWriter, ReadChannel}
import org.apache.arrow.vector.ipc.message.{ArrowRecordBatch, MessageChannelReader, MessageResult}
import org.apache.arrow.vector.types.UnionMode
import org.apache.arrow.vector.types.pojo.{ArrowType, Field, FieldType, Schema}

/** Arrow's own reader, as `SparkPatch` has it, over streams that lie. */
class ArrowMessagesSuite extends munit.FunSuite {
  import ArrowMessagesSuite._

  private val allocator = new RootAllocator(256L << 20)
  override def afterEach(context: AfterEach): Unit =
    assertEquals(allocator.getAllocatedMemory, 0L, "left")

  /** How many rows the batches have. */
  private def rows(stream: Array[Byte], memory: BufferAllocator = allocator): Seq[Int] = {
    val reader = new Patched(stream, memory)
    try
      Iterator
        .continually(reader.loadNextBatch())
        .takeWhile(identity)
        .map(_ => reader.getVectorSchemaRoot.getRowCount)
        .toSeq
    finally reader.close()
  }

  private def said(stream: Array[Byte]): String = intercept[DavyException](rows(stream)).getMessage

  test("a stream that tells the truth is read, of any length") {
    for (n <- Seq(0, 1, 1000, 3 << 20)) {
      val stream = written(schema(Kinds: _*), allocator) { root =>
        root.allocateNew()
        for (v <- root.getFieldVectors.asScala) v.setInitialCapacity(n)
        root.setRowCount(n)
      }
      assertEquals(rows(stream), Seq(n), s"$n rows")
    }
  }

  test("a long body comes whole") {
    val n = 5000011
    val random = new Random(3)
    val values = Array.fill(n)(random.nextLong())
    val stream = written(schema("n" -> Int64), allocator) { root =>
      val vector = root.getVector(0).asInstanceOf[org.apache.arrow.vector.BigIntVector]
      vector.allocateNew(n)
      for (i <- 0 until n) vector.set(i, values(i))
      root.setRowCount(n)
    }
    val reader = new Patched(stream, allocator)
    assert(reader.loadNextBatch())
    val vector =
      reader.getVectorSchemaRoot.getVector(0).asInstanceOf[org.apache.arrow.vector.BigIntVector]
    assert((0 until n).forall(i => vector.get(i) == values(i)))
    assert(!reader.loadNextBatch())
    reader.close()
  }

  test("lengths that are only said take no memory") {
    val head = written(schema("n" -> Int64), allocator)(_ => (), batches = 0).dropRight(8)
    def batch(length: Long) =
      head ++ message(recordBatch(1, Seq(1L -> 0L), Seq(0L -> 0L, 0L -> 8L)), length)
    for (length <- Seq(17L << 20, 1L << 30, 3L << 30)) {
      var most = 0L
      val watched = new RootAllocator(
        new org.apache.arrow.memory.AllocationListener {
          override def onAllocation(size: Long): Unit = most = math.max(most, size)
        },
        Long.MaxValue
      )
      val e = intercept[IOException](rows(batch(length) ++ new Array[Byte](1 << 20), watched))
      assertEquals(e.getMessage, "Unexpected end of input trying to read batch.")
      assert(most <= (16L << 20), s"$most bytes of $length")
      watched.close()
    }
    val five = 5L << 30
    assertEquals(
      said(batch(five)),
      "the code sends a batch of 5120.0 MiB, and a sandbox holds 4096.0 MiB at most. Give smaller batches"
    )
    assertEquals(said(batch(Long.MaxValue)).take(21), "the code sends a batc")
    assertEquals(
      said(batch(-1)),
      broke("a batch of its Arrow stream has -1 bytes")
    )
    assertEquals(
      said(head ++ message(recordBatch(1, Seq.empty, Seq.empty), -8)),
      broke("a batch of its Arrow stream has -8 bytes")
    )
  }

  test("no room outside of the heap is a limit, which is not fatal") {
    val small = new RootAllocator(32L << 20)
    val stream = written(schema("n" -> Int64), allocator) { root =>
      root.getVector(0).setInitialCapacity(6 << 20)
      root.allocateNew()
      root.setRowCount(6 << 20)
    }
    val e = intercept[DavyException](rows(stream, small))
    assertEquals(e.fault, "limit")
    assert(
      e.getMessage.startsWith("the executor has no room outside of its heap for a batch of 48."),
      e.getMessage
    )
    assertEquals(e.getCause, null)
    assertEquals(small.getAllocatedMemory, 0L)
  }

  test("metadata: lengths and what is none") {
    def length(n: Int) =
      ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putInt(-1).putInt(n).array
    val most = ArrowMessages.mostMetadata(Runtime.getRuntime.maxMemory)
    for (n <- Seq(most + 1, Int.MaxValue))
      assert(
        said(length(n)).matches(
          raw"the code sends an Arrow message with \d+\.\d MiB of metadata, and \d+\.\d MiB are taken\. Give fewer .+"
        )
      )
    for (n <- Seq(-1, Int.MinValue))
      assertEquals(
        said(length(n)),
        broke(s"a message of its Arrow stream has $n bytes of metadata")
      )
    assert(
      said(length(64) ++ Array.fill[Byte](64)(-1))
        .startsWith(broke("a message of its Arrow stream is wrong: "))
    )
    intercept[IOException](rows(length(100) ++ new Array[Byte](50)))
    assertEquals(
      Seq(64L << 20, 1L << 30, 64L << 30).map(ArrowMessages.mostMetadata),
      Seq(1 << 20, 4 << 20, 16 << 20)
    )
  }

  test("schemas that tell more than they hold") {
    def field(b: FlatBufferBuilder, children: Int, name: Int, metadata: Int = 0): Int = {
      FbNull.startNull(b)
      val kind = FbNull.endNull(b)
      FbField.createField(b, name, true, Type.Null, kind, 0, children, metadata)
    }
    // Each of thirty fields has the next one ten times.
    val laughs = built { b =>
      val name = b.createString("")
      val deepest = field(b, FbField.createChildrenVector(b, Array.empty[Int]), name)
      val top = (1 to 30).foldLeft(deepest) { (below, _) =>
        field(b, FbField.createChildrenVector(b, Array.fill(10)(below)), name)
      }
      Seq(top)
    }
    val names = built { b =>
      val name = b.createString("n" * 10000)
      Seq.fill(500)(field(b, FbField.createChildrenVector(b, Array.empty[Int]), name))
    }
    val pairs = built { b =>
      val pair = KeyValue.createKeyValue(b, b.createString("k"), b.createString("v" * 10000))
      val pairs = FbField.createCustomMetadataVector(b, Array.fill(500)(pair))
      Seq(field(b, FbField.createChildrenVector(b, Array.empty[Int]), b.createString("n"), pairs))
    }
    val ids = built { b =>
      val kinds = FbUnion.createTypeIdsVector(b, Array.range(0, 5000))
      val kind = FbUnion.createUnion(b, UnionMode.Dense.getFlatbufID, kinds)
      val none = FbField.createChildrenVector(b, Array.empty[Int])
      val name = b.createString("")
      Seq.fill(500)(FbField.createField(b, name, true, Type.Union, kind, 0, none, 0))
    }
    for (lie <- Seq(laughs, names, pairs, ids))
      assert(
        said(lie).startsWith(broke("the schema of its Arrow stream tells more than its ")),
        said(lie)
      )
    val deep = built { b =>
      val name = b.createString("")
      val deepest = field(b, FbField.createChildrenVector(b, Array.empty[Int]), name)
      Seq(
        (1 to 256).foldLeft(deepest)((below, _) =>
          field(b, FbField.createChildrenVector(b, Array(below)), name)
        )
      )
    }
    assertEquals(said(deep), broke("the schema of its Arrow stream is more than 256 fields deep"))
  }

  test("streams without a schema, with another message, with a compressed batch") {
    val batch = message(recordBatch(0, Seq.empty, Seq.empty), 8) ++ new Array[Byte](8)
    assertEquals(said(batch), broke("its Arrow stream has no schema"))
    val head = written(schema(), allocator)(_ => (), batches = 0).dropRight(8)
    assertEquals(
      said(head ++ message(recordBatch(0, Seq.empty, Seq.empty, kind = 4), 8)),
      broke("its Arrow stream has a message of kind 4")
    )
    for (codec <- Seq[Byte](0, 1))
      assertEquals(
        said(head ++ message(recordBatch(0, Seq.empty, Seq.empty, Some(codec)), 8)),
        broke("a batch of its Arrow stream is compressed")
      )
  }

  // Kind of column, rows, nodes (length, nulls), buffers (offset, length) in 64 bytes of body, and what is said of it.
  private val Lies =
    Seq[(ArrowType, Seq[ArrowType], Long, Seq[(Long, Long)], Seq[(Long, Long)], String)](
      (
        Int64,
        Nil,
        5,
        Seq(5L -> 0),
        Seq(0L -> 0, 0L -> 16),
        "a column in its Arrow stream has 5 values of 64 bits, in 16 bytes"
      ),
      (Int64, Nil, 5, Seq(5L -> 1), Seq(0L -> 0, 0L -> 40), ""),
      (
        Int64,
        Nil,
        1L << 31,
        Seq(5L -> 0),
        Seq(0L -> 0, 0L -> 40),
        "a batch of its Arrow stream has a count of 2147483648"
      ),
      (
        Int64,
        Nil,
        5,
        Seq(-5L -> 0),
        Seq(0L -> 0, 0L -> 40),
        "a batch of its Arrow stream has a count of -5"
      ),
      (
        Int64,
        Nil,
        5,
        Seq(4L -> 0),
        Seq(0L -> 0, 0L -> 40),
        "a column in its Arrow stream has 4 rows, of 5"
      ),
      (
        Int64,
        Nil,
        5,
        Nil,
        Seq(0L -> 0, 0L -> 40),
        "a batch in its Arrow stream has fewer parts than its schema"
      ),
      (
        Int64,
        Nil,
        5,
        Seq(5L -> 0),
        Seq(0L -> 0),
        "a batch in its Arrow stream has fewer parts than its schema"
      ),
      (
        Int64,
        Nil,
        5,
        Seq(5L -> 0),
        Seq(0L -> 0, 32L -> 40),
        "a buffer in its Arrow stream has 40 bytes from 32, and others 0, of 64"
      ),
      (
        Int64,
        Nil,
        5,
        Seq(5L -> 0),
        Seq(0L -> 40, 0L -> 40),
        "a buffer in its Arrow stream has 40 bytes from 0, and others 40, of 64"
      ),
      (
        Int64,
        Nil,
        5,
        Seq(5L -> 0),
        Seq(64L -> -8, 0L -> 40),
        "a buffer in its Arrow stream has -8 bytes from 64, and others 0, of 64"
      ),
      (
        Int64,
        Nil,
        5,
        Seq(5L -> 0),
        Seq(0L -> 0, Long.MaxValue -> 40),
        "a buffer in its Arrow stream has 40 bytes from 9223372036854775807, and others 0, of 64"
      ),
      (
        new ArrowType.Bool,
        Nil,
        129,
        Seq(129L -> 0),
        Seq(0L -> 0, 0L -> 16),
        "a column in its Arrow stream has 129 values of 1 bits, in 16 bytes"
      ),
      (new ArrowType.Bool, Nil, 128, Seq(128L -> 0), Seq(0L -> 0, 0L -> 16), ""),
      (
        new ArrowType.FixedSizeBinary(Int.MaxValue),
        Nil,
        1000L,
        Seq(1000L -> 0),
        Seq(0L -> 0, 0L -> 64),
        "a column in its Arrow stream has 1000 values of 17179869176 bits, in 64 bytes"
      ),
      (
        new ArrowType.Utf8,
        Nil,
        5,
        Seq(5L -> 0),
        Seq(0L -> 0, 0L -> 20, 0L -> 0),
        "a column in its Arrow stream has 6 values of 32 bits, in 20 bytes"
      ),
      (
        new ArrowType.Binary,
        Nil,
        2,
        Seq(2L -> 0),
        Seq(0L -> 0, 0L -> 12, 16L -> 3),
        "a value in its Arrow stream goes from byte 0 to byte 1000000, of 3"
      ),
      (
        new ArrowType.List,
        Seq(Int64),
        2,
        Seq(2L -> 0, 4L -> 0),
        Seq(0L -> 0, 0L -> 12, 0L -> 0, 16L -> 32),
        "a list in its Arrow stream goes from value 0 to value 1000000, of 4"
      ),
      (
        new ArrowType.List,
        Seq(new ArrowType.Null),
        2,
        Seq(2L -> 0, 2147483647L -> 2147483647L),
        Seq(0L -> 0, 0L -> 12),
        "-"
      ),
      (
        new ArrowType.FixedSizeList(3),
        Seq(Int64),
        2,
        Seq(2L -> 0, 5L -> 0),
        Seq(0L -> 0, 0L -> 0, 0L -> 40),
        "a field in its Arrow stream has 5 rows, of 6"
      ),
      (
        new ArrowType.FixedSizeList(2),
        Seq(Int64),
        2,
        Seq(2L -> 0, 4L -> 0),
        Seq(0L -> 0, 0L -> 0, 0L -> 32),
        ""
      ),
      (
        new ArrowType.Struct,
        Seq(Int64),
        5,
        Seq(5L -> 0, 4L -> 0),
        Seq(0L -> 0, 0L -> 0, 0L -> 32),
        "a field in its Arrow stream has 4 rows, of 5"
      ),
      (new ArrowType.Struct, Nil, 2147483647L, Seq(2147483647L -> 0), Seq(0L -> 0), "-"),
      (new ArrowType.Struct, Nil, 3, Seq(3L -> 0), Seq(0L -> 0), ""),
      (
        new ArrowType.Union(UnionMode.Sparse, Array(0)),
        Seq(Int64),
        5,
        Seq(5L -> 0, 4L -> 0),
        Seq(0L -> 5, 8L -> 0, 8L -> 32),
        "a field in its Arrow stream has 4 rows, of 5"
      ),
      (
        new ArrowType.Union(UnionMode.Dense, Array(0)),
        Seq(Int64),
        5,
        Seq(5L -> 0, 4L -> 0),
        Seq(40L -> 5, 0L -> 20, 48L -> 0, 48L -> 16),
        "a column in its Arrow stream has 4 values of 64 bits, in 16 bytes"
      ),
      (
        new ArrowType.Union(UnionMode.Dense, Array(0)),
        Seq(new ArrowType.Null),
        5,
        Seq(5L -> 0, 4L -> 0),
        Seq(40L -> 5, 0L -> 20),
        "a union in its Arrow stream has more rows of kind 0 than values"
      )
    )

  test("batches that say more than they have") {
    // As offsets: 0, 1000000, 1000000; then zeros.
    val body = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN)
    body.putInt(4, 1000000).putInt(8, 1000000)
    for (((kind, inner, rows, nodes, buffers, expected), i) <- Lies.zipWithIndex) {
      val children = inner.map(k => new Field("element", FieldType.nullable(k), null))
      val field = new Field("f", FieldType.nullable(kind), children.asJava)
      val head =
        written(new Schema(java.util.List.of(field)), allocator)(_ => (), batches = 0).dropRight(8)
      val stream = head ++ message(recordBatch(rows, nodes, buffers), 64) ++ body.array
      if (expected.isEmpty) assertEquals(this.rows(stream), Seq(rows.toInt), s"$i: $kind")
      else if (expected == "-")
        assert(
          said(stream).startsWith("the code sends a batch of 2147483647 rows with "),
          s"$i: $kind"
        )
      else assertEquals(said(stream), broke(expected), s"$i: $kind")
    }
  }

  test("views, and how many buffers they have") {
    def lie(counts: Seq[Long], length: Int, which: Int, from: Int) = {
      val head = written(schema("v" -> new ArrowType.BinaryView), allocator)(_ => (), batches = 0)
        .dropRight(8)
      val body = ByteBuffer.allocate(64).order(ByteOrder.LITTLE_ENDIAN)
      body.putInt(0, length).putInt(8, which).putInt(12, from)
      head ++ message(
        recordBatch(1, Seq(1L -> 0), Seq(0L -> 0, 0L -> 16, 16L -> 48), counts = counts),
        64
      ) ++ body.array
    }
    assertEquals(rows(lie(Seq(1), 48, 0, 0)), Seq(1))
    assertEquals(rows(lie(Seq(1), 12, 7, -7)), Seq(1))
    for (
      (length, which, from) <- Seq(
        (49, 0, 0),
        (13, 1, 0),
        (13, 0, 36),
        (13, 0, -1),
        (-1, 0, 0),
        (Int.MaxValue, 0, 1)
      )
    )
      assert(
        said(lie(Seq(1), length, which, from))
          .contains(s"a view in its Arrow stream has $length bytes from $from of ")
      )
    assertEquals(
      said(lie(Seq(Int.MaxValue), 1, 0, 0)),
      broke("a batch in its Arrow stream has fewer parts than its schema")
    )
    assertEquals(
      said(lie(Seq(Long.MaxValue), 1, 0, 0)),
      broke("a batch of its Arrow stream has a count of 9223372036854775807")
    )
  }

  private def broke(what: String) = s"the guest broke its contract: $what"
}

object ArrowMessagesSuite {
  private val Int64 = new ArrowType.Int(64, true)
  private val Kinds = Seq[(String, ArrowType)](
    "n" -> Int64,
    "flag" -> new ArrowType.Bool,
    "text" -> new ArrowType.Utf8,
    "nothing" -> new ArrowType.Null
  )

  private def schema(kinds: (String, ArrowType)*) =
    new Schema(kinds.map { case (name, kind) => Field.nullable(name, kind) }.asJava)

  private def written(schema: Schema, allocator: BufferAllocator)(
      fill: VectorSchemaRoot => Unit,
      batches: Int = 1
  ): Array[Byte] = {
    val out = new ByteArrayOutputStream
    val root = VectorSchemaRoot.create(schema, allocator)
    try {
      val writer = new ArrowStreamWriter(root, null, Channels.newChannel(out))
      writer.start()
      for (_ <- 0 until batches) {
        fill(root)
        writer.writeBatch()
      }
      writer.end()
    } finally root.close()
    out.toByteArray
  }

  /** A message's header, and of what kind it is. */
  private type Header = FlatBufferBuilder => (Byte, Int)

  private def message(header: Header, body: Long): Array[Byte] = {
    val b = new FlatBufferBuilder
    val (kind, at) = header(b)
    Message.startMessage(b)
    Message.addVersion(b, 4)
    Message.addHeaderType(b, kind)
    Message.addHeader(b, at)
    Message.addBodyLength(b, body)
    b.finish(Message.endMessage(b))
    val bytes = b.sizedByteArray
    ByteBuffer
      .allocate(8 + bytes.length)
      .order(ByteOrder.LITTLE_ENDIAN)
      .putInt(-1)
      .putInt(bytes.length)
      .put(bytes)
      .array
  }

  private def built(fields: FlatBufferBuilder => Seq[Int]): Array[Byte] = message(
    b => {
      val vector = FbSchema.createFieldsVector(b, fields(b).toArray)
      FbSchema.startSchema(b)
      FbSchema.addFields(b, vector)
      (1, FbSchema.endSchema(b))
    },
    0
  )

  private def recordBatch(
      rows: Long,
      nodes: Seq[(Long, Long)],
      buffers: Seq[(Long, Long)],
      codec: Option[Byte] = None,
      counts: Seq[Long] = Nil,
      kind: Byte = 3
  ): Header = b => {
    RecordBatch.startNodesVector(b, nodes.size)
    for ((length, nulls) <- nodes.reverse)
      org.apache.arrow.flatbuf.FieldNode.createFieldNode(b, length, nulls)
    val n = b.endVector()
    RecordBatch.startBuffersVector(b, buffers.size)
    for ((offset, length) <- buffers.reverse)
      org.apache.arrow.flatbuf.Buffer.createBuffer(b, offset, length)
    val m = b.endVector()
    val variadic = RecordBatch.createVariadicBufferCountsVector(b, counts.toArray)
    val compression = codec.map(BodyCompression.createBodyCompression(b, _, 0.toByte))
    RecordBatch.startRecordBatch(b)
    RecordBatch.addLength(b, rows)
    RecordBatch.addNodes(b, n)
    RecordBatch.addBuffers(b, m)
    RecordBatch.addVariadicBufferCounts(b, variadic)
    compression.foreach(RecordBatch.addCompression(b, _))
    (kind, RecordBatch.endRecordBatch(b))
  }

  /** Arrow's reader with the lines that `SparkPatch` puts into it. */
  private class Patched(stream: Array[Byte], allocator: BufferAllocator)
      extends ArrowStreamReader(
        new MessageChannelReader(
          new ReadChannel(Channels.newChannel(new ByteArrayInputStream(stream))),
          allocator
        ) {
          override def readNext(): MessageResult =
            ArrowMessages.next(in, this.allocator).fold[MessageResult](null) {
              case (message, body) =>
                result.newInstance(message, body.orNull)
            }
        },
        allocator
      ) {
    override def loadRecordBatch(batch: ArrowRecordBatch): Unit = {
      BatchCheck(getVectorSchemaRoot.getFieldVectors, batch)
      super.loadRecordBatch(batch)
    }
  }

  private val result =
    classOf[MessageResult].getDeclaredConstructor(classOf[Message], classOf[ArrowBuf])
  result.setAccessible(true)
}
