package davy

import java.nio.file.{Files, Path}

/** docs/settings.md says what the code does. `mvn test -Ddavy.updateDocs=true` rewrites it. */
class SettingsDocSuite extends munit.FunSuite {
  private val file = Path.of(System.getProperty("davy.settingsDoc"))
  private val Begin = "<!-- settings: begin (made by SettingsDocSuite) -->"
  private val End = "<!-- settings: end -->"

  private def table: String = {
    val rows = DavyConf.table.map { s =>
      val default = if (s.default.isEmpty) "none" else s"`${s.default}`"
      s"| `${s.key}` | ${s.kind.name} | $default | ${s.doc} |"
    }
    ("| Setting | Type | Default | Meaning |" +: "|---|---|---|---|" +: rows).mkString("\n")
  }

  test("the table of docs/settings.md is the table of DavyConf") {
    val text = Files.readString(file)
    val (before, after) = (text.indexOf(Begin) + Begin.length, text.indexOf(End))
    assert(before >= Begin.length && after > before, s"$file lacks its markers")
    if (System.getProperty("davy.updateDocs") == "true") {
      Files.writeString(
        file,
        text.substring(0, before) + "\n" + table + "\n" + text.substring(after)
      )
    } else assertEquals(text.substring(before, after).trim, table)
  }
}
