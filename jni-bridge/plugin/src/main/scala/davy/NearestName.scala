package davy

/** Finds what a misspelt name was meant to be. */
private[davy] object NearestName {

  /** The nearest of `names`, if it is near enough to be what was meant. */
  def of(name: String, names: Iterable[String]): Option[String] =
    names
      .map(known => (distance(name.toLowerCase, known.toLowerCase), known))
      .filter { case (edits, known) => edits <= math.max(2, known.length / 4) }
      .minOption
      .map(_._2)

  /** Edits between two words: insert, delete, replace, swap of neighbours. */
  def distance(a: String, b: String): Int = {
    val d = Array.tabulate(a.length + 1, b.length + 1) { (i, j) =>
      if (i == 0) j else if (j == 0) i else 0
    }
    for (i <- 1 to a.length; j <- 1 to b.length) {
      val replaced = d(i - 1)(j - 1) + (if (a(i - 1) == b(j - 1)) 0 else 1)
      d(i)(j) = math.min(replaced, math.min(d(i - 1)(j), d(i)(j - 1)) + 1)
      if (i > 1 && j > 1 && a(i - 1) == b(j - 2) && a(i - 2) == b(j - 1)) {
        d(i)(j) = math.min(d(i)(j), d(i - 2)(j - 2) + 1)
      }
    }
    d(a.length)(b.length)
  }
}
