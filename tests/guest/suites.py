"""suites.toml: which files a suite has, which tests cannot apply, and which failures are explained."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Group:
    """Tests with one reason. All patterns that are given must find something."""

    reason: str
    file: str | None = None
    test: str | None = None
    #: Finds a message of a failed test: the group is known only after a run.
    message: str | None = None

    def holds(self, result: dict) -> bool:
        return (
            (not self.file or bool(re.search(self.file, result["file"])))
            and (not self.test or bool(re.search(self.test, result["id"])))
            and (not self.message or bool(re.search(self.message, f"{result.get('message')}\n{result.get('text')}")))
        )


@dataclass(frozen=True)
class Suite:
    name: str
    folder: str
    order: list[str]
    options: list[str]
    env: dict
    memory_mib: int
    cpu_seconds: int
    cannot_apply: list[Group] = field(default_factory=list)
    differs: list[Group] = field(default_factory=list)

    def files(self, mounted: Path) -> list[str]:
        """All files of tests, in the order of relevance, without those that cannot apply."""
        top = mounted / "lib/python3.11"
        if self.name == "python":
            found = [
                p.stem for p in (top / "test").glob("test_*") if p.suffix == ".py" or (p / "__init__.py").is_file()
            ]
        else:
            site = top / "site-packages"
            found = [str(p.relative_to(site)) for p in (site / self.folder).rglob("test_*.py") if "tests" in p.parts]
        kept = [name for name in sorted(found) if not self.leaves_out(name)]
        place = {name: next((n for n, p in enumerate(self.order) if re.search(p, name)), 999) for name in kept}
        return sorted(kept, key=lambda name: (place[name], name))

    def leaves_out(self, file: str) -> bool:
        """Whether the whole file cannot apply."""
        whole = (g.file for g in self.cannot_apply if g.file and not (g.test or g.message))
        return any(re.search(pattern, file) for pattern in whole)

    def left_out(self) -> list[str]:
        """Tests that are not run at all."""
        return [group.test for group in self.cannot_apply if group.test and not (group.file or group.message)]


def _tables() -> dict:
    return tomllib.loads((HERE / "suites.toml").read_text())


def names() -> list[str]:
    return list(_tables()["suite"])


def load(name: str) -> Suite:
    tables = _tables()
    groups = {
        kind: [Group(**g) for g in [*tables.get("every", {}).get(kind, []), *tables["suite"][name].get(kind, [])]]
        for kind in ("cannot_apply", "differs")
    }
    own = {k: v for k, v in tables["suite"][name].items() if k not in groups}
    return Suite(name=name, **{**tables["defaults"], **own, **groups})
