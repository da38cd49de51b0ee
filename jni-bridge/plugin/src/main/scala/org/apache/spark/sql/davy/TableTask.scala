package org.apache.spark.sql.davy

import java.util.concurrent.ConcurrentLinkedQueue
import scala.jdk.CollectionConverters._

import org.apache.arrow.vector.types.pojo.Schema
import org.apache.spark.TaskContext

/** One task of a function that gets a table in batches: batches in, batches of results out. */
private[davy] object TableTask {

  /** @param struct whether the guest sees one struct, whose fields are the columns */
  def shape(schema: Schema, struct: Boolean): BatchShape = {
    val seen = if (struct) schema.getFields.get(0).getChildren else schema.getFields
    val fields = seen.asScala.toArray
    BatchShape(fields, fields.length, fields.indices.toArray, struct)
  }

  /**
   * @param schema what the guest sees; see [[shape]]
   * @param apart see [[BatchRunner]]
   */
  def results(
      batches: Iterator[InputBatch],
      schema: Schema,
      struct: Boolean,
      apart: Boolean,
      stock: StockRunner,
      metrics: ColumnMetrics,
      context: TaskContext
  ): Iterator[OutputBatch] = {
    val allocator = BatchMemory.allocator(context)
    val sent = new ConcurrentLinkedQueue[InputBatch]
    context.addTaskCompletionListener[Unit](_ => sent.asScala.foreach(_.close()))
    val runner = new BatchRunner(
      stock,
      Seq(Wire(schema, shape(schema, struct).arguments, struct)),
      grouped = false,
      apart,
      sent,
      keeps = false,
      allocator,
      metrics
    )
    runner.results(Iterator.single(Group(Seq(batches))), context)
  }
}
