package org.apache.spark.sql.davy

import java.io.{EOFException, InputStream, OutputStream}
import java.nio.ByteBuffer
import scala.reflect.ClassTag
import scala.util.Try

import org.apache.spark.{Partition, ShuffleDependency, TaskContext}
import org.apache.spark.rdd.RDD
import org.apache.spark.serializer._
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.expressions.{Attribute, UnsafeRow}
import org.apache.spark.sql.execution.{LeafExecNode, ShuffledRowRDD, SparkPlan}
import org.apache.spark.unsafe.Platform

/**
 * The child's rows. Those of a shuffle are read in blocks: Spark's reader takes a lock for each byte of
 * each row's length, which is a third of the time of a grouped function.
 *
 * It stands in no plan: [[GatherExec]] makes it when it runs.
 */
private[davy] case class ShuffledRows(of: SparkPlan) extends LeafExecNode {
  override def output: Seq[Attribute] = of.output

  override protected def doExecute(): RDD[InternalRow] = of.execute() match {
    case rows: ShuffledRowRDD => new BlockwiseRDD(rows, output.length)
    case rows                 => rows
  }
}

/** The same rows from the same shuffle, deserialized by [[RowBlocks]]. */
private final class BlockwiseRDD(shuffled: ShuffledRowRDD, fields: Int)
    extends RDD[InternalRow](shuffled) {

  override protected def getPartitions: Array[Partition] = firstParent[InternalRow].partitions

  override def compute(split: Partition, context: TaskContext): Iterator[InternalRow] = {
    val rows = firstParent[InternalRow].asInstanceOf[ShuffledRowRDD]
    // This task's own copy: a task deserializes what it runs.
    BlockwiseRDD.read(rows.dependency, fields)
    rows.iterator(split, context)
  }
}

private object BlockwiseRDD {

  /** Spark has no way to give a shuffle's reader another serializer than its writer. */
  def read(dependency: ShuffleDependency[_, _, _], fields: Int): Unit =
    if (dependency.serializer.getClass.getSimpleName == "UnsafeRowSerializer")
      Try(classOf[ShuffleDependency[_, _, _]].getDeclaredField("serializer")).foreach { field =>
        field.setAccessible(true)
        field.set(dependency, new RowBlocks(fields))
      }
}

/** Reads what Spark's serializer for rows wrote: of each row its size in 4 bytes, then its bytes. */
private[davy] final class RowBlocks(fields: Int) extends Serializer with Serializable {
  override def supportsRelocationOfSerializedObjects: Boolean = true

  override def newInstance(): SerializerInstance = new SerializerInstance {
    override def deserializeStream(in: InputStream): DeserializationStream =
      new RowBlockStream(in, fields)

    override def serializeStream(out: OutputStream): SerializationStream = readsOnly
    override def serialize[T: ClassTag](value: T): ByteBuffer = readsOnly
    override def deserialize[T: ClassTag](bytes: ByteBuffer): T = readsOnly
    override def deserialize[T: ClassTag](bytes: ByteBuffer, loader: ClassLoader): T = readsOnly
  }

  private def readsOnly: Nothing = throw new UnsupportedOperationException("it reads streams only")
}

/** A row is valid until the next one is asked for. */
private final class RowBlockStream(in: InputStream, fields: Int) extends DeserializationStream {
  private var block = new Array[Byte](64 << 10)
  private var begin = 0
  private var end = 0

  override def asKeyValueIterator: Iterator[(Any, Any)] = new Iterator[(Any, Any)] {
    private val row = new UnsafeRow(fields)
    // The partition's number, which nobody reads, and the row.
    private val pair: (Any, Any) = (0, row)
    private var known = false
    private var more = false

    override def hasNext: Boolean = {
      if (!known) {
        known = true
        more = has(4)
        if (!more) close()
      }
      more
    }

    override def next(): (Any, Any) = {
      if (!hasNext) throw new NoSuchElementException
      known = false
      val size = ByteBuffer.wrap(block).getInt(begin)
      begin += 4
      if (size < 0 || !has(size)) throw new EOFException(s"a row of $size bytes has no end")
      row.pointTo(block, Platform.BYTE_ARRAY_OFFSET.toLong + begin, size)
      begin += size
      pair
    }
  }

  /** Whether `bytes` more are in the block; false if the stream has ended before the first of them. */
  private def has(bytes: Int): Boolean = {
    if (end - begin < bytes) {
      // Half as much again, for rows that are each a little longer; arrays end before 2^31.
      val longer = math.min(bytes * 3L / 2, Int.MaxValue - 16L).toInt
      val to = if (block.length < bytes) new Array[Byte](math.max(bytes, longer)) else block
      System.arraycopy(block, begin, to, 0, end - begin)
      end -= begin
      begin = 0
      block = to
      var got = 0
      while (end < bytes && got >= 0) {
        got = in.read(block, end, block.length - end)
        end += math.max(got, 0)
      }
      if (end > 0 && end < bytes) throw new EOFException("the shuffle's data ends within a row")
    }
    end - begin >= bytes
  }

  override def asIterator: Iterator[Any] = asKeyValueIterator.map(_._2)
  override def readObject[T: ClassTag](): T = throw new UnsupportedOperationException
  override def close(): Unit = in.close()
}
