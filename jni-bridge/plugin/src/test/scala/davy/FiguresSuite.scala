package davy

class FiguresSuite extends munit.FunSuite {
  test("the JSON of the native side") {
    val json = """{"memory_bytes":131072,"memory_refused_bytes":0,"limits_met":4,"cpu_us":7,"start_us":3,
      "from_snapshot":true,"bytes_in":11,"bytes_out":13,"copy_in_ns":5,"copy_out_ns":6,"validate_us":2,"job_snapshot":"used"}"""
    assertEquals(Figures.parse(json), Figures(131072, 7, 5, 6, 2, 3, 4, "used", true))
  }

  test("the reason why a function is not shared, whichever task asked first") {
    def refused(job: String) = Figures.parse(s"""{"job_snapshot":"$job"}""").jobRefused
    assertEquals(Seq("", "used", "made").flatMap(refused), Nil)
    for (first <- Seq("refused: because", "refused before: because"))
      assertEquals(refused(first), Some("because"))
  }
}
