package davy

import java.nio.file.Path

/**
 * One setting: its name, its type, and what it is when absent.
 *
 * @param default as a person would write it; "" for none
 */
private[davy] final case class Setting[T](
    key: String,
    kind: Kind[T],
    default: String,
    doc: String
) {

  /** The value in `settings`, checked. */
  def in(settings: Map[String, String]): T = {
    val text = settings.get(key).map(_.trim).getOrElse(default)
    kind.parse(text) match {
      case Right(value) => value
      case Left(wanted) =>
        throw DavyException.host(s"""$key is "$text"; it must be $wanted""")
    }
  }
}

/**
 * A type of settings.
 *
 * @param name as the documentation shows it
 * @param parse the value, or what it must be
 */
private[davy] final case class Kind[T](name: String, parse: String => Either[String, T])

private[davy] object Kind {
  private val Size = """(\d{1,18})\s*([kmgt]?)i?b?""".r
  private val Time = """(\d{1,15})\s*(ms|s|m|min|h|d)?""".r

  /** Bytes with Spark's suffixes (powers of 1024), from `least` to `most`. */
  def bytes(least: Long, most: Long = Long.MaxValue): Kind[Long] = {
    val wanted =
      "a size such as 512m or 2g" + (if (least > 0) s", at least $least bytes" else "") +
        (if (most < Long.MaxValue) s", at most $most bytes" else "")
    Kind(
      "bytes",
      _.toLowerCase match {
        case Size(digits, unit) =>
          val size = BigInt(digits) << (10 * " kmgt".indexOf(if (unit.isEmpty) " " else unit))
          if (size >= least && size <= most) Right(size.toLong) else Left(wanted)
        case _ => Left(wanted)
      }
    )
  }

  /** Milliseconds; a bare number is seconds, as in Spark. */
  val time: Kind[Long] = Kind(
    "time",
    _.toLowerCase match {
      case Time(digits, unit) =>
        val millis = unit match {
          case "ms"        => 1L
          case "s" | null  => 1000L
          case "m" | "min" => 60 * 1000L
          case "h"         => 3600 * 1000L
          case "d"         => 24 * 3600 * 1000L
        }
        Right(digits.toLong * millis)
      case _ => Left("a time such as 500ms, 30s, 10m or 2h")
    }
  )

  def count(least: Int, most: Int): Kind[Int] = Kind(
    "number",
    text =>
      text.toIntOption
        .filter(n => n >= least && n <= most)
        .toRight(s"a whole number from $least to $most")
  )

  val flag: Kind[Boolean] =
    Kind("boolean", text => text.toLowerCase.toBooleanOption.toRight("true or false"))

  /** A path, or none. */
  val path: Kind[Option[Path]] = Kind(
    "path",
    text =>
      if (text.isEmpty) Right(None)
      else absolute(text).map(Some(_)).toRight("an absolute path")
  )

  /** Absolute directories, separated by commas. Not the root: that would be no sandbox. */
  val directories: Kind[Seq[Path]] = Kind(
    "list of paths",
    text => {
      val parts = text.split(',').toSeq.map(_.trim).filter(_.nonEmpty)
      val paths = parts.flatMap(absolute).filter(_.getNameCount > 0)
      if (paths.size == parts.size) Right(paths)
      else Left("a list of absolute directories other than /, separated by commas")
    }
  )

  private def absolute(text: String): Option[Path] =
    scala.util.Try(Path.of(text)).toOption.filter(_.isAbsolute).map(_.normalize)
}
