package org.apache.spark.sql.davy

import scala.jdk.CollectionConverters._
import scala.util.Random

import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.{FieldVector, VectorSchemaRoot}
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.util.{ArrayBasedMapData, GenericArrayData}
import org.apache.spark.sql.execution.LeafExecNode
import org.apache.spark.sql.execution.arrow.ArrowWriter
import org.apache.spark.sql.execution.vectorized._
import org.apache.spark.sql.types._
import org.apache.spark.sql.util.ArrowUtils
import org.apache.spark.sql.vectorized.{ArrowColumnVector, ColumnVector, ColumnarBatch}
import org.apache.spark.unsafe.types.UTF8String

/** Columns → batches: the same ones, cut at the same rows, as of the rows. */
class ColumnBatchesSuite extends munit.FunSuite {
  private val random = new Random(13)
  private val words = Array("", "a", "é", "日本" * 20, "x" * 300)
  private def text() = UTF8String.fromString(words(random.nextInt(words.length)))
  private def decimal(precision: Int, scale: Int): Decimal = {
    val digits = BigInt(random.nextInt()) * BigInt(10).pow(math.max(precision - 10, 0))
    Decimal(BigDecimal(digits % BigInt(10).pow(precision), scale), precision, scale)
  }

  private val flat: Seq[(DataType, () => Any)] = Seq(
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
    DecimalType(9, 2) -> (() => decimal(9, 2)),
    DecimalType(18, 0) -> (() => decimal(18, 0)),
    DecimalType(38, 18) -> (() => decimal(38, 18))
  )
  private val nested: Seq[(DataType, () => Any)] = Seq(
    ArrayType(IntegerType) -> (() => new GenericArrayData(Array[Any](random.nextInt(), null))),
    MapType(StringType, LongType) ->
      (() => ArrayBasedMapData(Array[Any](text()), Array[Any](random.nextLong()))),
    StructType.fromDDL("a int, b string") -> (() => InternalRow(random.nextInt(), text()))
  )
  private val makers = flat ++ nested
  private def schema(of: Seq[(DataType, () => Any)]) = StructType(of.zipWithIndex.map {
    case ((kind, _), i) => StructField(s"c$i", kind)
  })
  private def rows(count: Int, of: Seq[(DataType, () => Any)], nulls: Double): Seq[InternalRow] =
    Seq.fill(count)(
      new GenericInternalRow(
        of.map { case (_, make) =>
          if (random.nextDouble() < nulls) null else make()
        }.toArray[Any]
      )
    )

  private def put(to: WritableColumnVector, i: Int, kind: DataType, value: Any): Unit =
    value match {
      case null           => to.putNull(i)
      case v: Boolean     => to.putBoolean(i, v)
      case v: Byte        => to.putByte(i, v)
      case v: Short       => to.putShort(i, v)
      case v: Int         => to.putInt(i, v)
      case v: Long        => to.putLong(i, v)
      case v: Float       => to.putFloat(i, v)
      case v: Double      => to.putDouble(i, v)
      case v: Decimal     => to.putDecimal(i, v, kind.asInstanceOf[DecimalType].precision)
      case v: UTF8String  => val _ = to.putByteArray(i, v.getBytes)
      case v: Array[Byte] => val _ = to.putByteArray(i, v)
      case other          => fail(s"a value $other")
    }

  /** Text as Parquet's reader leaves it: numbers of entries of a dictionary. */
  private def encoded(to: WritableColumnVector, values: Seq[Any]): Unit = {
    to.setDictionary(new Dictionary {
      override def decodeToInt(id: Int): Int = fail("no int")
      override def decodeToLong(id: Int): Long = fail("no long")
      override def decodeToFloat(id: Int): Float = fail("no float")
      override def decodeToDouble(id: Int): Double = fail("no double")
      override def decodeToBinary(id: Int): Array[Byte] = words(id).getBytes("UTF-8")
    })
    val ids = to.reserveDictionaryIds(values.length)
    values.zipWithIndex.foreach {
      case (null, i) => to.putNull(i)
      case (v, i)    => ids.putInt(i, words.indexOf(v.toString))
    }
  }

  private def written(
      part: Seq[InternalRow],
      of: Seq[(DataType, () => Any)],
      make: DataType => WritableColumnVector
  ): ColumnarBatch = {
    val columns = of.zipWithIndex.map { case ((kind, _), c) =>
      val to = make(kind)
      val values = part.map(_.get(c, kind))
      if (kind == StringType) encoded(to, values)
      else values.zipWithIndex.foreach { case (v, i) => put(to, i, kind, v) }
      to: ColumnVector
    }
    new ColumnarBatch(columns.toArray, part.length)
  }

  private def vectors(
      part: Seq[InternalRow],
      of: Seq[(DataType, () => Any)],
      wrap: FieldVector => ColumnVector,
      a: BufferAllocator
  ): ColumnarBatch = {
    val root = VectorSchemaRoot.create(ArrowUtils.toArrowSchema(schema(of), "UTC", true, false), a)
    val writer = ArrowWriter.create(root)
    part.foreach(writer.write)
    writer.finish()
    new ColumnarBatch(root.getFieldVectors.asScala.map(wrap).toArray, part.length)
  }

  private case class Source(
      name: String,
      of: Seq[(DataType, () => Any)],
      make: (Seq[InternalRow], BufferAllocator) => ColumnarBatch
  )
  private val sources = Seq(
    Source("on heap", flat, (p, _) => written(p, flat, new OnHeapColumnVector(p.length, _))),
    Source("off heap", flat, (p, _) => written(p, flat, new OffHeapColumnVector(p.length, _))),
    Source("Arrow", makers, (p, a) => vectors(p, makers, new ArrowColumnVector(_), a)),
    Source("in place", flat, (p, a) => vectors(p, flat, InPlaceColumn.of(_), a))
  )

  private def withAllocator(body: BufferAllocator => Unit): Unit = {
    val allocator = ArrowUtils.rootAllocator.newChildAllocator("test", 0, Long.MaxValue)
    try body(allocator)
    finally allocator.close()
  }

  /** Rows of Spark's batches, and the values of each column. */
  private def seen(batches: Iterator[InputBatch]): (Seq[Int], Seq[Seq[Any]]) = {
    val parts = batches.map { batch =>
      val values = batch.columns.map { v =>
        (0 until v.getValueCount).map(v.getObject(_)).map {
          case bytes: Array[Byte] => bytes.toSeq.toString
          case other              => String.valueOf(other) // NaN is not equal to itself
        }
      }
      try (batch.slices.toSeq, values.toSeq)
      finally batch.close()
    }.toList
    (parts.flatMap(_._1), parts.map(_._2).transpose.map(_.flatten))
  }

  for {
    source <- sources
    nulls <- Seq(0.0, 0.3)
    limits <- Seq(
      BatchLimits(7, Long.MaxValue),
      BatchLimits(1000, 64L << 20),
      BatchLimits(0, 64L << 20),
      BatchLimits(50, 1000),
      BatchLimits(0, 700),
      BatchLimits(0, 1)
    )
    counted <- Seq(
      source.of.indices,
      Seq(0, 4, 14),
      Seq(7),
      Seq(4, 7, 8, 7),
      Seq(7, source.of.length - 1)
    )
  } test(s"${source.name}, nulls $nulls, $limits, columns $counted") {
    withAllocator { a =>
      val data = rows(300, source.of, nulls)
      val fields = ArrowUtils.toArrowSchema(schema(source.of), "UTC", true, false).getFields
      val shape = BatchShape(
        fields.asScala.toArray,
        source.of.length,
        counted.toArray,
        struct = counted.length == source.of.length
      )
      for (together <- Seq(false, true)) {
        val columns = data.grouped(130).map(source.make(_, a)).toList
        val ours = new ColumnBatches(columns.iterator, shape, limits, a, together)
        val theirs = new InputBatches(data.iterator, shape, identity, limits, a)
        assertEquals(seen(ours), seen(theirs))
        columns.foreach(_.close())
      }
    }
  }

  private case class Columns(output: Seq[Attribute]) extends LeafExecNode {
    override def supportsColumnar: Boolean = true
    override protected def doExecute(): RDD[InternalRow] = fail("no rows")
  }

  private case class Stage(childOutput: Seq[Attribute], computed: Seq[Expression])
      extends Gathering {
    override def limits: BatchLimits = BatchLimits(0, Long.MaxValue)
    override def shape: BatchShape = fail("no shape")
  }

  test("columns of every type are taken as columns; what is computed needs rows") {
    val (all, others) = makers
      .map { case (kind, _) => AttributeReference("c", kind)() }
      .partition(column => ArrowSchemas.holds(column.dataType))
    val child = Columns(all)
    assert(ColumnBatches.serve(child, Stage(all, Nil)))
    assertEquals(others.map(_.dataType), Seq(YearMonthIntervalType()))
    assert(!ColumnBatches.serve(Columns(others), Stage(others, Nil)))
    assert(!ColumnBatches.serve(child, Stage(all, Seq(Add(all(3), all(3))))))
  }
}
