"""One image of the recipe: versions/<name>.toml and what it names."""
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .paths import TREE


@dataclass(frozen=True)
class Version:
    name: str
    minor: str
    version: str
    source: str
    flags: list
    configure: list
    packages: list
    use_profile: bool
    #: Packages with compiled parts: numpy, pandas, pyarrow.
    compiled: list = field(default_factory=list)

    def patches(self) -> list[Path]:
        """All patches, in the order of their names."""
        return sorted((TREE / "patches" / self.minor).glob("*.patch"))

    def profile_path(self) -> Path:
        return TREE / "profile" / f"python-{self.minor}.profdata.xz"

    def profile(self) -> Path | None:
        if not self.use_profile:
            return None
        if not self.profile_path().is_file():
            raise SystemExit(f"guest-python/build: {self.profile_path()} is missing; make it with --train")
        return self.profile_path()


def version_path(name: str) -> Path:
    return TREE / "versions" / f"{name}.toml"


def load(name: str) -> Version:
    path = version_path(name)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.toml")))
        raise SystemExit(f"guest-python/build: no recipe for Python {name}; there are: {known}")
    fields = tomllib.loads(path.read_text())
    return Version(name=name, **fields)
