package davy

import java.util.ArrayDeque
import scala.jdk.CollectionConverters._

/**
 * Idle things, the latest first: the one used last is the warmest, and those below grow old enough
 * to go. Safe for any number of threads; what leaves the pool is closed outside its lock.
 */
final class IdlePool[T](max: Int, keepNanos: Long, nanoTime: () => Long) {
  private val idle = new ArrayDeque[(T, Long)]

  /**
   * Takes the latest of `mine` that is fit; the unfit ones of mine above it are given to `discard`.
   * Those that are not mine stay as they are.
   */
  def take(mine: T => Boolean, fit: T => Boolean)(discard: T => Unit): Option[T] = {
    var next = pop(mine)
    while (next.exists(!fit(_))) {
      next.foreach(discard)
      next = pop(mine)
    }
    next
  }

  /** Adds `item`; what no longer fits into the pool, the oldest of all, is given to `discard`. */
  def put(item: T)(discard: T => Unit): Unit = {
    val tooMany = idle.synchronized {
      idle.push((item, nanoTime()))
      if (idle.size > max) Some(idle.pollLast()._1) else None
    }
    tooMany.foreach(discard)
  }

  /** Gives all that have been idle too long to `discard`; whether any are left. */
  def expire(discard: T => Unit): Boolean = {
    val (old, left) = idle.synchronized {
      val old = Iterator
        .continually(idle.peekLast())
        .takeWhile(e => e != null && nanoTime() - e._2 >= keepNanos)
        .map(_ => idle.pollLast()._1)
        .toList
      (old, !idle.isEmpty)
    }
    old.foreach(discard)
    left
  }

  def size: Int = idle.synchronized(idle.size)

  /** How many are `mine`. */
  def count(mine: T => Boolean): Int = idle.synchronized(idle.asScala.count(e => mine(e._1)))

  /** Empties the pool. */
  def clear(discard: T => Unit): Unit = {
    val all = idle.synchronized {
      val all = Iterator.continually(idle.poll()).takeWhile(_ != null).map(_._1).toList
      all
    }
    all.foreach(discard)
  }

  private def pop(mine: T => Boolean): Option[T] = idle.synchronized {
    val entries = idle.iterator()
    var found = Option.empty[T]
    while (found.isEmpty && entries.hasNext) {
      val item = entries.next()._1
      if (mine(item)) {
        entries.remove()
        found = Some(item)
      }
    }
    found
  }
}
