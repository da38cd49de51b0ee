package org.apache.spark.sql.davy

import scala.collection.mutable.ArrayBuffer

import org.apache.arrow.memory.BufferAllocator
import org.apache.arrow.vector.{BaseFixedWidthVector, BitVector, FieldVector}
import org.apache.spark.TaskContext
import org.apache.spark.sql.catalyst.expressions._
import org.apache.spark.sql.execution.{SortExec, SortPrefixUtils}
import org.apache.spark.sql.internal.SQLConf
import org.apache.spark.sql.types._
import org.apache.spark.sql.vectorized.{ArrowColumnVector, ColumnVector, ColumnarBatch}

/**
 * Brings the rows of each group together without a sort of the rows, in the order in which Spark's
 * sort would: the groups by their keys, the rows of a group as they came.
 *
 * The columns of all rows are in memory meanwhile. If they are too many, Spark's sort takes the rows:
 * it can spill.
 *
 * @param sort by the keys, ascending; its child gives the rows
 * @param computed columns beside the child's own
 * @param wanted columns that the groups are to have: places among all of these
 * @param struct whether the function gets them as the fields of one struct
 */
private[davy] final case class Clustering(
    sort: SortExec,
    override val computed: Seq[Expression],
    wanted: Array[Int],
    struct: Boolean,
    timeZone: String
) extends Gathering {
  override val childOutput: Seq[Attribute] = sort.child.output
  private val keys = sort.sortOrder.map(_.child)

  override def limits: BatchLimits = BatchLimits(InputBatches.Usual, Int.MaxValue)

  override def shape: BatchShape = {
    val more = computed.map(e => AttributeReference("", e.dataType, e.nullable)())
    val fields = ArrowSchemas.kept(childOutput ++ more, timeZone)
    BatchShape(fields, childOutput.length, wanted, struct)
  }

  /**
   * The groups; or the child's rows, sorted, where memory does not hold the columns.
   *
   * @param most of the groups' batches
   */
  def run(
      batches: Iterator[InputBatch],
      most: BatchLimits,
      allocator: BufferAllocator
  ): GroupedRows = {
    val context = TaskContext.get()
    val memory = new ClusterMemory(context)
    val held = ArrayBuffer[InputBatch]()
    val columns = ArrayBuffer[FieldVector]()
    context.addTaskCompletionListener[Unit] { _ =>
      held.foreach(_.close())
      columns.foreach(_.close())
      memory.close()
    }
    val arriving = batches.map { batch =>
      held += batch
      batch
    }
    val places = keys.map(k => childOutput.indexWhere(_.semanticEquals(k)))
    val codes = new KeyCodes(keys.length)
    val found = ArrayBuffer[Array[Int]]()
    while (memory.suffices && arriving.hasNext) {
      val batch = arriving.next()
      val (keyColumns, known) = (places.map(batch.columns(_)), codes.size)
      found += codes.of(keyColumns, batch.rows)
      val values = keyColumns.map(_.getBufferSize.toLong).sum / batch.rows
      memory.hold(batch, (codes.size - known) * (ClusterMemory.Key + 2 * values))
    }
    val rows = Option.when(memory.suffices)(rowsOfBatch(held.toSeq, most)).flatten
    rows match {
      case Some(rows) =>
        val order = new GroupOrder(
          found.toArray.flatten,
          firstKeys(held.toSeq, found.toSeq),
          keys.map(_.dataType),
          radix
        )
        held.headOption.foreach { first =>
          first.columns.indices.filterNot(wanted.contains(_)).foreach(drop(held.toSeq, _))
          wanted.zipWithIndex.foreach { case (i, n) =>
            columns += first.columns(i).getField.createVector(allocator)
            ColumnScatter(held.map(_.columns(i)).toSeq, order.ranks, columns.last)
            if (wanted.lastIndexOf(i) == n) drop(held.toSeq, i)
          }
        }
        new Clusters(order.keys, order.counts, columns.toArray, rows, allocator, memory)
      case None =>
        // The sort needs what was acquired. The columns go as it takes their rows.
        memory.close()
        val all = held.toList.iterator ++ arriving
        SortedRows(sort.createSorter().sort(all.flatMap(unsafeRows)))
    }
  }

  /** Column `i` is not needed any more as it came. */
  private def drop(batches: Seq[InputBatch], i: Int): Unit = batches.foreach(_.columns(i).close())

  /** The key of the first row of each group, in the order of their codes. */
  private def firstKeys(batches: Seq[InputBatch], codes: Seq[Array[Int]]): Array[UnsafeRow] = {
    val toKey = UnsafeProjection.create(keys, childOutput)
    val firsts = ArrayBuffer[UnsafeRow]()
    batches.zip(codes).foreach { case (batch, codes) =>
      lazy val rows = view(batch)
      var i = 0
      while (i < codes.length) {
        if (codes(i) == firsts.length) firsts += toKey(rows.getRow(i)).copy()
        i += 1
      }
    }
    firsts.toArray
  }

  /** Whether Spark's sort would be a radix sort. */
  private def radix: Boolean =
    SQLConf.get.enableRadixSort && sort.sortOrder.length == 1 &&
      SortPrefixUtils.canSortFullyWithPrefix(sort.sortOrder.head)

  /** The child's rows again; their batch is closed after the last. */
  private def unsafeRows(batch: InputBatch): Iterator[UnsafeRow] = {
    val toUnsafe = UnsafeProjection.create(childOutput, childOutput)
    val rows = view(batch)
    (0 until batch.rows).iterator.map(i => toUnsafe(rows.getRow(i))) ++ {
      batch.close()
      Iterator.empty
    }
  }

  /** Rows after which Spark ends a batch, where that is known without a look at each. */
  private def rowsOfBatch(batches: Seq[InputBatch], most: BatchLimits): Option[Int] = {
    val columns = batches.map(batch => wanted.map(batch.columns(_)))
    val widths = columns.headOption.toSeq.flatten.map {
      case _: BitVector            => None
      case v: BaseFixedWidthVector => Some(v.getTypeWidth)
      case _                       => None
    }
    def bytes = columns.flatten.map(_.getBufferSize.toLong).sum
    if (most.bytes >= Int.MaxValue || bytes < most.bytes) Some(most.most)
    else
      Option.when(widths.forall(_.isDefined)) {
        val wide = widths.flatten
        most.firstToReach { n =>
          shape.wrapping(n) + wide.map(_ * n.toLong + ColumnWriter.bitmapBytes(n)).sum
        }
      }
  }

  private def view(batch: InputBatch): ColumnarBatch = {
    val own = batch.columns.take(childOutput.length).map(new ArrowColumnVector(_): ColumnVector)
    new ColumnarBatch(own, batch.rows)
  }
}

private[davy] object Clustering {

  /** Whether the groups of the sort's rows can be brought together here. */
  def serves(sort: SortExec, grouping: Seq[Expression], computed: Seq[Expression]): Boolean = {
    val order = Groups.ordering(grouping)
    val own = sort.child.output
    !sort.global && sort.sortOrder.length == order.length && order.nonEmpty &&
    sort.sortOrder.zip(order).forall { case (a, b) => a.semanticEquals(b) } &&
    grouping.forall(key => isKey(key.dataType) && own.exists(_.semanticEquals(key))) &&
    (own ++ computed).forall(column => ColumnScatter.serves(column.dataType))
  }

  /** Values that are equal if and only if their bytes are. */
  private def isKey(kind: DataType): Boolean = kind match {
    case BooleanType | ByteType | ShortType | IntegerType | LongType | DateType | TimestampType |
        TimestampNTZType | BinaryType =>
      true
    case _: YearMonthIntervalType | _: DayTimeIntervalType => true
    case text                                              => text == StringType
  }
}
