package org.apache.spark.sql.davy

import scala.jdk.CollectionConverters._
import scala.util.Random

import org.apache.arrow.vector.{FieldVector, VectorSchemaRoot}
import org.apache.spark.SparkUnsupportedOperationException
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.catalyst.util.ArrayData
import org.apache.spark.sql.execution.arrow.ArrowWriter
import org.apache.spark.sql.types._
import org.apache.spark.sql.util.ArrowUtils
import org.apache.spark.sql.vectorized.{ColumnVector, ColumnarBatch}
import org.apache.spark.unsafe.types.UTF8String

/** Columns → rows, byte for byte what Spark's own projection gives. */
class UnsafeRowsSuite extends munit.FunSuite {
  private val random = new Random(11)
  private def text(longest: Int) =
    UTF8String.fromBytes(random.nextBytes(random.nextInt(longest + 1)))

  private def value(kind: DataType, longest: Int): Any = (kind: @unchecked) match {
    case BooleanType                                       => random.nextBoolean()
    case ByteType                                          => random.nextInt().toByte
    case ShortType                                         => random.nextInt().toShort
    case IntegerType | DateType | _: YearMonthIntervalType => random.nextInt()
    case LongType | TimestampType | TimestampNTZType       => random.nextLong()
    case FloatType        => java.lang.Float.intBitsToFloat(random.nextInt())
    case DoubleType       => java.lang.Double.longBitsToDouble(random.nextLong())
    case _: StringType    => text(longest)
    case BinaryType       => random.nextBytes(random.nextInt(longest + 1))
    case ArrayType(of, _) => ArrayData.toArrayData(Array[Any](value(of, longest), null))
  }

  private val numbers = Seq(
    BooleanType,
    ByteType,
    ShortType,
    IntegerType,
    LongType,
    FloatType,
    DoubleType,
    DateType,
    TimestampType,
    TimestampNTZType,
    YearMonthIntervalType()
  )
  private val served = numbers ++ Seq(StringType, BinaryType)

  private case class Shape(
      name: String,
      kinds: Seq[DataType],
      counts: Seq[Int],
      nulls: Double = 0.2,
      longest: Int = 20
  )

  private val shapes = Seq(
    Shape("numbers", numbers, Seq(1, 10000, 0, 4097)),
    Shape("all kinds", served, Seq(1000, 1, 0, 7)),
    Shape("no nulls", served, Seq(1000, 1000), nulls = 0),
    Shape("nulls only", served, Seq(1000), nulls = 1),
    Shape("one column", Seq(DoubleType), Seq(4095, 4096, 4097)),
    Shape("more columns than a word has bits", Seq.fill(70)(served).flatten.take(130), Seq(50)),
    Shape("more columns than a block has bytes", Seq.fill(9000)(IntegerType), Seq(3)),
    Shape("text of every length", Seq(StringType, BinaryType), Seq(500), longest = 150),
    Shape("a row longer than a block", Seq(StringType, LongType), Seq(9, 9), longest = 200_000),
    Shape("a kind that is Spark's", Seq(ArrayType(LongType), LongType), Seq(10))
  )

  shapes.foreach { shape =>
    test(s"rows are Spark's: ${shape.name}") {
      val columns = shape.kinds.zipWithIndex.map { case (kind, i) =>
        AttributeReference(s"c$i", kind)()
      }
      val turned = columns.reverse.map(c => Alias(c, s"${c.name} again")()) ++ columns.take(1)
      Seq[Seq[NamedExpression]](columns, turned, columns.take(1), Nil)
        .foreach(compare(shape, columns, _))
    }
  }

  test("a null where Spark believes that there is none is Spark's to refuse") {
    val believed = Seq(AttributeReference("n", LongType, nullable = false)())
    val gaps = batch(Shape("", Seq(LongType), Nil, nulls = 1), believed, 3)
    val rows = new UnsafeRows(Iterator(gaps), believed, believed, 0, _ => ())
    assertEquals(intercept[IllegalStateException](rows.next()).getMessage, "Value at index is null")
    gaps.close()
  }

  test("a column of another type than was said is Spark's to refuse") {
    val columns = Seq(AttributeReference("n", IntegerType)())
    val wider =
      batch(Shape("", Seq(LongType), Nil, nulls = 0), Seq(AttributeReference("n", LongType)()), 5)
    val rows = new UnsafeRows(Iterator(wider), columns, columns, 0, _ => ())
    val error = intercept[SparkUnsupportedOperationException](rows.next())
    assert(error.getMessage.contains("getInt"), error.getMessage)
    wider.close()
  }

  for (kind <- Seq(LongType, StringType)) test(s"a column of $kind that was closed gives no rows") {
    val columns = Seq(AttributeReference("n", kind)())
    val closed = batch(Shape("", Seq(kind), Nil, nulls = 0), columns, 5000)
    val rows = new UnsafeRows(Iterator(closed), columns, columns, 0, _ => ())
    rows.next()
    closed.close()
    intercept[IndexOutOfBoundsException](rows.foreach(_ => ()))
  }

  private def compare(
      shape: Shape,
      columns: Seq[Attribute],
      wanted: Seq[NamedExpression]
  ): Unit = {
    val batches = shape.counts.map(batch(shape, columns, _))
    val projection = UnsafeProjection.create(wanted, columns)
    val expected = batches.flatMap(_.rowIterator.asScala.map(projection(_).getBytes.toSeq))
    val rows = new UnsafeRows(batches.iterator, wanted, columns, 0, _ => ())
    val got = rows.map(_.asInstanceOf[UnsafeRow].getBytes.toSeq).toSeq
    assertEquals(got.length, expected.length)
    got.zip(expected).zipWithIndex.foreach { case ((a, b), i) => assert(a == b, s"row $i") }
    intercept[NoSuchElementException](rows.next())
    batches.foreach(_.close())
  }

  private def batch(shape: Shape, columns: Seq[Attribute], count: Int): ColumnarBatch = {
    val schema = StructType(columns.map(c => StructField(c.name, c.dataType)))
    val root = VectorSchemaRoot.create(
      ArrowUtils.toArrowSchema(schema, "UTC", true, false),
      ArrowUtils.rootAllocator
    )
    val writer = ArrowWriter.create(root)
    (1 to count).foreach { _ =>
      writer.write(InternalRow.fromSeq(shape.kinds.map { kind =>
        if (random.nextDouble() < shape.nulls) null else value(kind, shape.longest)
      }))
    }
    writer.finish()
    val vectors =
      root.getFieldVectors.asScala.map((v: FieldVector) => InPlaceColumn.of(v): ColumnVector)
    new ColumnarBatch(vectors.toArray, count)
  }
}
