"""The kinds of package, their versions, and what one package may require of the others (U1, U2)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as NamedSpecifier
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from staffetta.packages.errors import DocumentInvalid

__all__ = ["OFFERED", "Kind", "Requirement", "Version", "parse_kind", "parse_version"]


class Kind(StrEnum):
    """What a package brings. Only a new site makes clients update (U1)."""

    BASE = "base"
    SITE = "site"
    LICENCE = "licence"
    CLIENT = "client"  # travels inside a site package; an appliance is never offered one


OFFERED: Final = frozenset({Kind.BASE, Kind.SITE, Kind.LICENCE})
"""The kinds an appliance can be offered."""


def parse_kind(text: str) -> Kind:
    """Read the name of a kind."""
    try:
        return Kind(text)
    except ValueError:
        raise DocumentInvalid(f"{text!r} is no kind of package; kinds are {', '.join(Kind)}.") from None


def parse_version(text: str) -> Version:
    """Read a version (PEP 440) in its one normal spelling, since versions name folders and files."""
    try:
        version = Version(text)
    except InvalidVersion:
        raise DocumentInvalid(f"{text!r} is no version; write it like 1.4.0.") from None
    if str(version) != text:
        raise DocumentInvalid(f"The version {text!r} is spelt {str(version)!r}.")
    return version


@dataclass(frozen=True, slots=True)
class Requirement:
    """Another package that must be installed first: its kind, and the versions that will do (PEP 440)."""

    kind: Kind
    specifier: SpecifierSet

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Read ``base>=1.1`` or ``site>=2,<4``."""
        try:
            named = NamedSpecifier(text)
        except InvalidRequirement:
            raise DocumentInvalid(f"{text!r} is no requirement; write it like base>=1.1.") from None
        if named.extras or named.url or named.marker or not named.specifier:
            raise DocumentInvalid(f"{text!r} is no requirement; write it like base>=1.1.")
        kind = parse_kind(named.name)
        if kind not in OFFERED:
            raise DocumentInvalid(f"A package cannot require a {kind} package, since none is ever installed by itself.")
        return cls(kind, named.specifier)

    def met_by(self, version: Version) -> bool:
        """Whether this version will do; a pre-release counts as the version it is."""
        return self.specifier.contains(version, prereleases=True)

    def __str__(self) -> str:
        return f"{self.kind}{self.specifier}"

    @property
    def words(self) -> str:
        """The requirement as a person says it: ``base 1.1 or newer``."""
        parts = list(self.specifier)
        if len(parts) == 1 and parts[0].operator == ">=":
            return f"{self.kind} {parts[0].version} or newer"
        if len(parts) == 1 and parts[0].operator == "==":
            return f"{self.kind} {parts[0].version}"
        return f"{self.kind} {', '.join(sorted(str(part) for part in parts))}"
