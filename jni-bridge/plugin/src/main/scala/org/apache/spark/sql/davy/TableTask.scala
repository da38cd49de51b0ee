package org.apache.spark.sql.davy

import java.util.concurrent.ConcurrentLinkedQueue
import scala.jdk.CollectionConverters._

import org.apache.arrow.vector.types.pojo.Schema
import org.apache.spark.TaskContext
import org.apache.spark.sql.catalyst.InternalRow

/** One task of a function that gets a table in batches: rows in, batches of results out. */
private[davy] object TableTask {

  /**
   * @param schema what the guest sees
   * @param struct whether it is one struct, whose fields are the columns
   */
  def results(
      rows: Iterator[InternalRow],
      schema: Schema,
      struct: Boolean,
      stock: StockRunner,
      limits: BatchLimits,
      metrics: ColumnMetrics,
      context: TaskContext
  ): Iterator[OutputBatch] = {
    val seen = if (struct) schema.getFields.get(0).getChildren else schema.getFields
    val fields = seen.asScala.toArray
    val shape = BatchShape(fields, fields.length, fields.indices.toArray)
    val allocator = ArrowSchemas.allocator(context)
    val sent = new ConcurrentLinkedQueue[InputBatch]
    context.addTaskCompletionListener[Unit](_ => sent.asScala.foreach(_.close()))
    val batches = new InputBatches(rows, shape, identity, limits, allocator)
    val runner = new BatchRunner(
      stock,
      Seq(Wire(schema, shape.arguments, struct)),
      grouped = false,
      sent,
      keeps = false,
      allocator,
      metrics
    )
    runner.compute(Iterator.single(Group(Seq(batches))), context.partitionId(), context)
  }
}
