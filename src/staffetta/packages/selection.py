"""Which packages an appliance may install now, what the others wait for, and the way to the newest (U2, U15).

Pure: installed versions and signed descriptions in, decisions out.
- An older or equal version is never offered, and never installable.
- A package with unmet requirements is offered, cannot be selected, and names what it needs.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from staffetta.packages.errors import OlderPackage, PrerequisiteUnmet
from staffetta.packages.info import PackageInfo
from staffetta.packages.kinds import OFFERED, Kind, Requirement, Version


@dataclass(frozen=True, slots=True)
class InstalledLicence:
    """A licence add-on that is on the appliance: its target's name and version."""

    target: str
    version: Version


@dataclass(frozen=True, slots=True)
class Installed:
    """What is on an appliance. There is always a base; a new appliance has no site yet."""

    base: Version
    site: Version | None = None
    licences: tuple[InstalledLicence, ...] = ()

    def versions(self, kind: Kind) -> tuple[Version, ...]:
        """Return the installed versions of a kind: none, one, or for licences several."""
        if kind is Kind.BASE:
            return (self.base,)
        if kind is Kind.SITE:
            return () if self.site is None else (self.site,)
        return tuple(licence.version for licence in self.licences)

    def after(self, info: PackageInfo) -> "Installed":
        """Return what is installed once this package is."""
        if info.kind is Kind.BASE:
            return replace(self, base=info.version)
        if info.kind is Kind.SITE:
            return replace(self, site=info.version)
        return replace(self, licences=(*self.licences, InstalledLicence(info.target, info.version)))


@dataclass(frozen=True, slots=True)
class Offer:
    """A package in the list *Available updates*: ``needs`` says in sentences what must be installed first."""

    info: PackageInfo
    unmet: tuple[Requirement, ...]
    needs: tuple[str, ...]

    @property
    def selectable(self) -> bool:
        """Whether it can be installed now."""
        return not self.unmet


def offers(installed: Installed, infos: Iterable[PackageInfo]) -> list[Offer]:
    """Return what to list, by kind and then from the oldest version to the newest."""
    order = (Kind.BASE, Kind.SITE, Kind.LICENCE)
    newer = sorted(
        (info for info in infos if is_newer(installed, info)),
        key=lambda info: (order.index(info.kind), info.version, info.target),
    )
    return [_offer(installed, info) for info in newer]


def require_installable(installed: Installed, info: PackageInfo) -> None:
    """Raise ``OlderPackage`` or ``PrerequisiteUnmet``, saying why, unless this package can be installed now."""
    if not is_newer(installed, info):
        have = ", ".join(str(version) for version in installed.versions(info.kind)) or "nothing"
        raise OlderPackage(
            f"{info.kind} {info.version} is not newer than what is installed ({info.kind} {have}). "
            "An older version is never installed over a newer one."
        )
    if needs := _offer(installed, info).needs:
        raise PrerequisiteUnmet(f"{info.kind} {info.version} cannot be installed yet. {' '.join(needs)}")


def is_newer(installed: Installed, info: PackageInfo) -> bool:
    """Whether a package brings something that is not on the appliance yet."""
    if info.kind not in OFFERED:
        return False
    if info.kind is Kind.LICENCE:
        return info.target not in {licence.target for licence in installed.licences}
    return all(info.version > version for version in installed.versions(info.kind))


def path_to_newest(installed: Installed, infos: Iterable[PackageInfo]) -> tuple[PackageInfo, ...]:
    """Return the packages to install, in order, to reach the newest site and then the newest base that can be reached.

    Of all ways the one with the fewest installs; a base package comes right before the site package that needs it
    where that costs no extra install (U15). Licence add-ons are a choice, not a way, and are left out.
    """
    steps = sorted(
        (info for info in infos if info.kind in (Kind.BASE, Kind.SITE)),
        key=lambda info: (info.kind is Kind.BASE, info.version, info.target),
    )
    start = (installed.base, installed.site)
    ways: dict[tuple[Version, Version | None], tuple[PackageInfo, ...]] = {start: ()}
    waiting = deque([start])
    while waiting:
        base, site = place = waiting.popleft()
        here = replace(installed, base=base, site=site)
        for info in _installable(here, steps):
            beyond = here.after(info)
            reached = (beyond.base, beyond.site)
            if reached not in ways:
                ways[reached] = (*ways[place], info)
                waiting.append(reached)
    best = max(ways, key=lambda place: (place[1] is not None, place[1] or place[0], place[0]))
    return ways[best]


def _installable(installed: Installed, infos: Sequence[PackageInfo]) -> list[PackageInfo]:
    return [info for info in infos if is_newer(installed, info) and not _unmet(installed, info)]


def _unmet(installed: Installed, info: PackageInfo) -> tuple[Requirement, ...]:
    return tuple(
        requirement
        for requirement in info.requires
        if not any(requirement.met_by(version) for version in installed.versions(requirement.kind))
    )


def _offer(installed: Installed, info: PackageInfo) -> Offer:
    unmet = _unmet(installed, info)
    return Offer(info, unmet, tuple(_sentence(installed, requirement) for requirement in unmet))


def _sentence(installed: Installed, requirement: Requirement) -> str:
    have = ", ".join(str(version) for version in installed.versions(requirement.kind))
    present = f"{requirement.kind} {have} is installed" if have else f"no {requirement.kind} is installed"
    return f"Needs {requirement.words} first; {present}."
