"""How the Jump Clients followed their site: what its page says of them, and their own journals on their computers."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from staffetta.lab.measures import most_at_once
from staffetta.lab.report import Span
from staffetta.lab.timeline import moment

JOURNAL: Final = "updates.journal"
BEGINS: Final = ("fetch", "flip")
ENDS: Final = ("staged", "failed", "proven", "back")
"""A client upgrades from fetching to having staged, and from flipping to being proven; between, it waits."""


def read_journal(state: Path) -> list[dict[str, Any]]:
    """Return what a client noted of its upgrades; a line that is being written is left out."""
    path = state / JOURNAL
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def busy(journal: Sequence[Mapping[str, Any]]) -> Iterator[tuple[float, float]]:
    """Yield the times, as (begin, end) in unix seconds, in which a client was upgrading."""
    begun: float | None = None
    for entry in journal:
        if entry["step"] in BEGINS and begun is None:
            begun = moment(entry["at"])
        elif entry["step"] in ENDS and begun is not None:
            yield begun, moment(entry["at"])
            begun = None


def tell(page: Mapping[str, Any], journals: Mapping[str, Sequence[Mapping[str, Any]]], version: str) -> dict[str, Any]:
    """Return ``fleet`` of the report. A client is updated if the site sees it there and its own journal says so."""
    clients = [one for one in page["clients"] if not one["revoked"]]
    proven = {name for name, journal in journals.items() if any(_proves(entry, version) for entry in journal)}
    updated = [one for one in clients if one["online"] and one["version"] == version and one["name"] in proven]
    return {
        "clients": len(journals),
        "updated": len(updated),
        "limit": page["limit"],
        "most_at_once": most_at_once(time for journal in journals.values() for time in busy(journal)),
        "versions": dict(Counter(str(one["version"]) for one in clients)),
    }


def on_timeline(journals: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[Span]:
    """Yield each client's upgrades, all in one lane."""
    for name, journal in journals.items():
        for begin, end in busy(journal):
            yield Span("Jump Clients", "step", begin, end - begin, f"{name} upgrades")


def _proves(entry: Mapping[str, Any], version: str) -> bool:
    return (entry["step"], entry["version"]) == ("proven", version)
