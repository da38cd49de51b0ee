package davy

class SnapshotRefusalsSuite extends munit.FunSuite {
  test("each reason has its class") {
    val classes = Map(
      "it holds an open file (/tmp/a)" -> "openFiles",
      "it holds a generator of random numbers" -> "randomNumbers",
      "it changes the random numbers of numpy while it is loaded" -> "randomNumbers",
      "it holds a generator that has begun (<genexpr>)" -> "generators",
      "it prints or changes files while it is loaded" -> "prints",
      "it changes the environment while it is loaded" -> "environment",
      "it changes the working directory while it is loaded" -> "environment",
      "it fails when it is loaded" -> "other"
    )
    val refusals = new SnapshotRefusals
    for ((reason, name) <- classes) {
      val before = refusals.of(name)
      refusals.count(reason)
      assertEquals(refusals.of(name), before + 1, reason)
    }
    assertEquals(SnapshotRefusals.Classes.map(refusals.of).sum, classes.size.toLong)
  }
}
