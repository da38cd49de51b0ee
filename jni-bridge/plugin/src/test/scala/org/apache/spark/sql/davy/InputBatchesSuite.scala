package org.apache.spark.sql.davy

import java.io.{ByteArrayOutputStream, DataOutputStream}
import java.nio.ByteBuffer
import scala.jdk.CollectionConverters._
import scala.util.Random

import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.{FieldVector, VectorSchemaRoot}
import org.apache.arrow.vector.types.pojo.Schema
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow
import org.apache.spark.sql.catalyst.util.{ArrayBasedMapData, GenericArrayData}
import org.apache.spark.sql.execution.arrow.ArrowWriter
import org.apache.spark.sql.types._
import org.apache.spark.sql.util.ArrowUtils
import org.apache.spark.sql.vectorized.{ArrowColumnVector, ColumnVector, ColumnarBatch}
import org.apache.spark.unsafe.types.UTF8String

/** Rows → batches, beside Spark's own ArrowWriter. */
class InputBatchesSuite extends munit.FunSuite {
  private val random = new Random(7)

  private def text() =
    UTF8String.fromString(Seq("", "a", "é", "日本" * 20, "x" * 300)(random.nextInt(5)))

  private val makers: Seq[(DataType, () => Any)] = Seq(
    BooleanType -> (() => random.nextBoolean()),
    ByteType -> (() => random.nextInt().toByte),
    ShortType -> (() => random.nextInt().toShort),
    IntegerType -> (() => random.nextInt()),
    LongType -> (() => random.nextLong()),
    FloatType -> (() => random.nextFloat()),
    DoubleType -> (() => Seq(Double.NaN, -0.0, random.nextDouble())(random.nextInt(3))),
    StringType -> (() => text()),
    BinaryType -> (() => random.nextBytes(random.nextInt(9))),
    DateType -> (() => random.nextInt(99999)),
    TimestampType -> (() => random.nextLong()),
    TimestampNTZType -> (() => random.nextLong()),
    YearMonthIntervalType() -> (() => random.nextInt()),
    DayTimeIntervalType() -> (() => random.nextLong()),
    DecimalType(20, 3) -> (() => Decimal(BigDecimal(random.nextInt(), 3), 20, 3)),
    ArrayType(IntegerType) -> (() => new GenericArrayData(Array[Any](random.nextInt(), null))),
    MapType(StringType, LongType) ->
      (() => ArrayBasedMapData(Array[Any](text()), Array[Any](random.nextLong()))),
    StructType.fromDDL("a int, b string") -> (() => InternalRow(random.nextInt(), text()))
  )
  private val schema = StructType(makers.zipWithIndex.map { case ((kind, _), i) =>
    StructField(s"c$i", kind)
  })
  private def arrow(s: StructType): Schema = ArrowUtils.toArrowSchema(s, "UTC", true, false)

  /** `nulls`: of each value, how often it is null. */
  private def rows(count: Int, nulls: Double, only: Seq[Int] = makers.indices): Seq[InternalRow] =
    Seq.fill(count)(
      new GenericInternalRow(
        only
          .map { i =>
            if (random.nextDouble() < nulls) null else makers(i)._2()
          }
          .toArray[Any]
      )
    )

  private def withAllocator(body: BufferAllocator => Unit): Unit = {
    val allocator = ArrowUtils.rootAllocator.newChildAllocator("test", 0, Long.MaxValue)
    // Closing throws if a batch was not freed.
    try body(allocator)
    finally allocator.close()
  }

  private def batches(
      of: Seq[InternalRow],
      s: StructType,
      limits: BatchLimits,
      a: BufferAllocator
  ) = {
    val fields = arrow(s).getFields.toArray(Array.empty[org.apache.arrow.vector.types.pojo.Field])
    val shape = BatchShape(fields, fields.length, fields.indices.toArray, struct = false)
    new InputBatches(of.iterator, shape, identity, limits, a)
  }

  /** The values of Spark's writer for the same rows. */
  private def expected(of: Seq[InternalRow], s: StructType, a: BufferAllocator): String = {
    val root = VectorSchemaRoot.create(arrow(s), a)
    val writer = ArrowWriter.create(root)
    of.foreach(writer.write)
    writer.finish()
    try root.getFieldVectors.asScala.map(values).mkString("\n")
    finally root.close()
  }

  private def shown(batch: InputBatch): String =
    try batch.columns.map(values).mkString("\n")
    finally batch.close()

  private def values(vector: FieldVector): String =
    (0 until vector.getValueCount)
      .map(vector.getObject(_))
      .map {
        case bytes: Array[Byte] => bytes.toSeq
        case other              => other
      }
      .mkString(", ")

  for (nulls <- Seq(0.0, 0.3, 1.0); count <- Seq(1, 8, 9, 1000))
    test(s"values of every type, $count rows, nulls $nulls") {
      withAllocator { a =>
        val data = rows(count, nulls)
        val all = batches(data, schema, BatchLimits(0, Long.MaxValue), a)
        assertEquals(shown(all.next()), expected(data, schema, a))
        assert(!all.hasNext)
      }
    }

  /** As generated code writes them. */
  private def put(filler: BatchFiller, row: InternalRow): Boolean = {
    makers.indices.foreach { i =>
      val (column, at) = (filler.column(i), filler.rows)
      row.get(i, makers(i)._1) match {
        case null       => column.putNull(at)
        case v: Boolean => column.putBoolean(v, at)
        case v: Byte    => column.putByte(v, at)
        case v: Short   => column.putShort(v, at)
        case v: Int     => column.putInt(v, at)
        case v: Long    => column.putLong(v, at)
        case v: Float   => column.putFloat(v, at)
        case v: Double  => column.putDouble(v, at)
        case v          => column.put(v.asInstanceOf[AnyRef], at)
      }
    }
    filler.added()
  }

  for (nulls <- Seq(0.0, 0.3, 1.0); most <- Seq(1, 9, 12000))
    test(s"values of every type one by one, batches of $most, nulls $nulls") {
      withAllocator { a =>
        val data = rows(math.min(2 * most, 13000), nulls)
        val fields = arrow(schema).getFields.asScala.toArray
        val shape = BatchShape(fields, fields.length, fields.indices.toArray, struct = false)
        data.grouped(most).foreach { part =>
          val filler = BatchFiller(shape, BatchLimits(most, Long.MaxValue), a)
          val full = part.map(put(filler, _))
          assertEquals(full.indexOf(true), if (part.length == most) most - 1 else -1)
          assertEquals(shown(filler.finish()).hashCode, expected(part, schema, a).hashCode)
        }
      }
    }

  for (most <- Seq(1, 3, 100, 6000))
    test(s"small batches of $most go together and end where Spark's end") {
      withAllocator { a =>
        val data = rows(math.min(2500 * most, 13000) + 1, 0.3)
        val fields = arrow(schema).getFields.asScala.toArray
        val shape = BatchShape(fields, fields.length, fields.indices.toArray, struct = false)
        val limits = BatchLimits(most, Long.MaxValue)
        val all = new InputBatches(data.iterator, shape, identity, limits, a, together = true)
        var from = 0
        val cuts = all.flatMap { batch =>
          val slices = batch.slices
          assert(slices.length <= 1000 && (slices.length == 1 || batch.rows <= 10000))
          val part = data.slice(from, from + batch.rows)
          assertEquals(shown(batch).hashCode, expected(part, schema, a).hashCode)
          from += batch.rows
          slices.map(_ -> slices.length)
        }.toSeq
        assertEquals(cuts.map(_._1), data.grouped(most).map(_.length).toSeq)
        assertEquals(cuts.exists(_._2 > 1), most <= 5000)
      }
    }

  test("batches that go together end where Spark's do, row by row") {
    withAllocator { a =>
      val fields = arrow(schema).getFields.asScala.toArray
      val shape = BatchShape(fields, fields.length, fields.indices.toArray, struct = false)
      val filler = BatchFiller(shape, BatchLimits(7, Long.MaxValue), a, together = true)
      val ends = rows(6993, 0).map(put(filler, _)).zipWithIndex.collect { case (true, i) => i + 1 }
      filler.close()
      // Bytes or the time, whichever came first.
      assert(ends.nonEmpty && ends.forall(_ % 7 == 0), ends.take(3).mkString(" "))
    }
  }

  test("batches of large values do not go together") {
    withAllocator { a =>
      val text = StructType(Seq(StructField("c", StringType)))
      val row = InternalRow(UTF8String.fromString("x" * 100000))
      val fields = arrow(text).getFields.asScala.toArray
      val shape = BatchShape(fields, 1, Array(0), struct = false)
      val limits = BatchLimits(1, Long.MaxValue)
      val all =
        new InputBatches(Iterator.fill(10)(row), shape, identity, limits, a, together = true)
      all.foreach { batch =>
        assert(batch.slices.length <= 3, batch.slices.mkString(" "))
        batch.close()
      }
    }
  }

  test("a value of another type than the column's is refused") {
    withAllocator { a =>
      val fields = arrow(schema).getFields.asScala.toArray
      val filler = BatchFiller(
        BatchShape(fields, 0, Array.empty, struct = false),
        BatchLimits(0, Int.MaxValue),
        a
      )
      val said = intercept[IllegalStateException](filler.column(4).putInt(1, 0)).getMessage
      assert(said.contains("c4"), said)
      filler.close()
    }
  }

  /** Whatever a column has for a row of its type. */
  private def read(column: ColumnVector, kind: DataType, row: Int): Any =
    InternalRow.getAccessor(kind)(new ColumnarBatch(Array(column), row + 1).getRow(row), 0) match {
      case bytes: Array[Byte] => bytes.toSeq
      case text: UTF8String   => text.toString
      case other              => String.valueOf(other)
    }

  for (nulls <- Seq(0.0, 0.3))
    test(s"columns are read where they lie, nulls $nulls") {
      withAllocator { a =>
        val batch = batches(rows(100, nulls), schema, BatchLimits(0, Long.MaxValue), a).next()
        // The nested ones are Spark's to read.
        makers.indices.filter(_ < 15).foreach { i =>
          val (ours, theirs) =
            (InPlaceColumn.of(batch.columns(i)), new ArrowColumnVector(batch.columns(i)))
          (0 until 100).foreach { row =>
            assertEquals(ours.isNullAt(row), theirs.isNullAt(row))
            if (!ours.isNullAt(row))
              assertEquals(read(ours, makers(i)._1, row), read(theirs, makers(i)._1, row))
          }
          if (ours.isInstanceOf[InPlaceColumn]) {
            Seq(-1, 100).foreach { row =>
              val _ = intercept[IndexOutOfBoundsException](ours.isNullAt(row))
            }
            ours.close()
            val _ = intercept[IndexOutOfBoundsException](ours.isNullAt(0))
          }
        }
        batch.close()
      }
    }

  test("more rows than were allocated for") {
    withAllocator { a =>
      val data = rows(25000, 0.1)
      val all = batches(data, schema, BatchLimits(0, Long.MaxValue), a)
      assertEquals(shown(all.next()).hashCode, expected(data, schema, a).hashCode)
    }
  }

  /** Spark's loop: a row is added while the rows so far have fewer bytes than the limit. */
  private def cuts(
      data: Seq[InternalRow],
      s: StructType,
      limits: BatchLimits,
      a: BufferAllocator
  ) = {
    val sizes = scala.collection.mutable.ArrayBuffer[Int]()
    var left = data
    while (left.nonEmpty) {
      val root = VectorSchemaRoot.create(arrow(s), a)
      val writer = ArrowWriter.create(root)
      var n = 0
      while (
        n < left.length && (limits.rows <= 0 || n < limits.rows) &&
        (limits.bytes >= Int.MaxValue || writer.sizeInBytes() < limits.bytes)
      ) {
        writer.write(left(n))
        n += 1
      }
      root.close()
      sizes += n
      left = left.drop(n)
    }
    sizes.toSeq
  }

  for {
    columns <- Seq(Seq(4), Seq(0, 1, 9), Seq(7), Seq(4, 7, 8), Seq(15, 17))
    limit <- Seq(
      BatchLimits(3, Int.MaxValue),
      BatchLimits(0, 100),
      BatchLimits(50, 1000),
      BatchLimits(0, 1)
    )
  } test(s"batches are cut where Spark cuts them: columns $columns, $limit") {
    withAllocator { a =>
      val s = StructType(columns.map(schema(_)))
      val data = rows(120, 0.2, columns)
      val sizes = batches(data, s, limit, a).map { b =>
        b.close()
        b.rows
      }.toSeq
      assertEquals(sizes, cuts(data, s, limit, a))
    }
  }

  /**
   * As Spark's GroupedIterator: what is next decides whether a group, even a past one, has rows; and a
   * group that was looked for waits until it is taken.
   */
  private def asSparkGroups(rows: Iterator[(Int, InternalRow)]): Iterator[Iterator[InternalRow]] = {
    val ahead = rows.buffered
    var current = -1
    var found = false
    new Iterator[Iterator[InternalRow]] {
      override def hasNext: Boolean = {
        if (!found) ahead.headOption.foreach { case (key, _) =>
          current = key
          found = true
        }
        found
      }
      override def next(): Iterator[InternalRow] = {
        if (!hasNext) throw new NoSuchElementException
        found = false
        new Iterator[InternalRow] {
          override def hasNext: Boolean = ahead.headOption.exists(_._1 == current)
          override def next(): InternalRow = ahead.next()._2
        }
      }
    }
  }

  for {
    (columns, limit, rowsAtMost, packed) <- Seq(
      (makers.indices, BatchLimits(7, Long.MaxValue), 20, 1),
      (Seq(3, 4, 6, 7, 8), BatchLimits(0, 300), 40, 1),
      (makers.indices, BatchLimits(0, 1000), 40, 1),
      (Seq(4), BatchLimits(500, Long.MaxValue), 6000, 2)
    )
  } test(s"groups in packs are cut where each would be by itself: $limit, columns $columns") {
    withAllocator { a =>
      val s = StructType(columns.map(schema(_)))
      val groups = Seq.fill(20)(rows(1 + random.nextInt(rowsAtMost), 0.2, columns))
      val fields = arrow(s).getFields.asScala.toArray
      val shape = BatchShape(fields, fields.length, fields.indices.toArray, struct = false)
      val keyed = groups.zipWithIndex.flatMap { case (group, k) => group.map(k -> _) }
      val packs = new PackedGroups(asSparkGroups(keyed.iterator), shape, limit, a).toList
      assert(packs.length >= packed, packs.length)
      val whole = groups.flatMap(cuts(_, s, limit, a)).toList
      assertEquals(packs.flatMap(_.slices), whole)
      assertEquals(packs.flatMap(_.ends).count(identity), groups.length)
      val shownPacks = packs.map(p => shown(p.batch)).mkString(", ")
      if (columns.length == 1 || packs.length == 1)
        assertEquals(shownPacks.hashCode, expected(groups.flatten, s, a).hashCode)
    }
  }

  test("a row that throws leaves nothing behind") {
    withAllocator { a =>
      val data =
        rows(5, 0.0).iterator ++ Iterator.continually(throw new IllegalStateException("bad"))
      val fields =
        arrow(schema).getFields.toArray(Array.empty[org.apache.arrow.vector.types.pojo.Field])
      val shape = BatchShape(fields, fields.length, fields.indices.toArray, struct = false)
      val all = new InputBatches(data, shape, identity, BatchLimits(0, Long.MaxValue), a)
      val _ = intercept[IllegalStateException](all.next())
    }
  }

  test("the frame tells places that do not overlap, each at a multiple of 64") {
    withAllocator { a =>
      val all = batches(rows(77, 0.3), schema, BatchLimits(0, Long.MaxValue), a)
      val batch = all.next()
      val put = new Put(batch.rows)
      batch.columns.foreach(put.column)
      val out = new ByteArrayOutputStream
      put.announce(new DataOutputStream(out), BatchRunner.Batch)
      val frame = ByteBuffer.wrap(out.toByteArray)
      assertEquals(frame.getInt, BatchRunner.Batch)
      assertEquals(frame.getInt, 77)
      val (size, nodes, buffers) = (frame.getLong, frame.getInt, frame.getInt)
      // The array, the map (entries, key, value) and the struct (two fields) have children.
      assertEquals(nodes, makers.length + 1 + 3 + 2)
      (0 until nodes).foreach(_ => (frame.getLong, frame.getLong))
      val places = (0 until buffers).map(_ => (frame.getLong, frame.getLong))
      assertEquals(frame.remaining, 0)
      assert(places.forall(_._1 % 64 == 0))
      places.zip(places.tail).foreach { case ((at, length), (next, _)) =>
        assert(at + length <= next)
      }
      assert(places.last._1 + places.last._2 <= size)
      assertEquals(put.places.length, 2 * buffers)
      batch.close()
    }
  }
}
