"""The fleet by version as its page draws it: one bar, a part for each standing, and a legend that says it in words."""

from dataclasses import dataclass

from django.utils.translation import npgettext

from staffetta.site.fleet.standing import Standing
from staffetta.site.fleet.updates import FleetProgress
from staffetta.ui import bars


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the bar: who stands there, how many, where it lies, and whether the list shows only these."""

    standing: Standing
    label: str
    count: int
    place: bars.Place
    chosen: bool


def bar(progress: FleetProgress, chosen: Standing | None) -> tuple[Part, ...]:
    """Return the parts, the current ones first; none of a fleet without clients, or of a site that brings no client."""
    if progress.wanted is None or not progress.clients:
        return ()
    places = bars.parts(list(progress.standings.values()))
    return tuple(
        Part(standing, _label(standing, count), count, place, standing is chosen)
        for (standing, count), place in zip(progress.standings.items(), places, strict=True)
    )


def chosen(text: str) -> Standing | None:
    """Return the standing that a page's address names, None for none."""
    return Standing(text) if text in list(Standing) else None


def _label(standing: Standing, count: int) -> str:
    """What so many Jump Clients are, in words that agree with their number."""
    return {
        Standing.CURRENT: npgettext("Jump Clients", "current", "current", count),
        Standing.UPDATING: npgettext("Jump Clients", "upgrading", "upgrading", count),
        Standing.BEHIND: npgettext("Jump Clients", "behind", "behind", count),
        Standing.FAILED: npgettext("Jump Clients", "went back", "went back", count),
        Standing.NEVER_SEEN: npgettext("Jump Clients", "never connected", "never connected", count),
    }[standing]
