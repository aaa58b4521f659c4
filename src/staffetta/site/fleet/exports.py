"""Jump Clients as rows of the page, as JSON and as CSV: version, behind or current, updated when, what failed."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from staffetta.kernel.clock import format_time, utc_now
from staffetta.site.data import csv_lines
from staffetta.site.fleet import rollout
from staffetta.site.fleet.service import ClientSummary
from staffetta.site.fleet.updates import FleetProgress


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client, and where its version stands: ``current``, ``updating``, ``behind``, ``waiting``, ``failed``, or empty
    (unknown).

    ``overdue``: a passive one that should have checked in by now.
    """

    client: ClientSummary
    state: str
    overdue: bool = False

    @classmethod
    def of(cls, client: ClientSummary, wanted: str | None, updating: Collection[str] = ()) -> "ClientRow":
        """Compare a client with the version that this site's clients become; ``updating`` holds who may update now."""
        due = client.next_check_in
        state = version_state(client, wanted)
        if client.id in updating and state not in ("", "current"):
            state = "updating"
        return cls(client, state, due is not None and due < utc_now())

    @property
    def connection(self) -> str:
        """``online``, ``offline``; of a passive one ``resting`` or ``overdue``; ``revoked``; ``never connected``."""
        if self.client.revoked:
            return "revoked"
        if self.client.online:
            return "online"
        if self.client.version is None:
            return "never connected"
        if not self.client.passive:
            return "offline"
        return "overdue" if self.overdue else "resting"

    @property
    def status_details(self) -> str:
        """The dated status (C5): since when the client has its version, then where it stands.

        The date is first, so that sorting by it as text is sorting by the date. It is what the client's own clock said;
        one that has told none is dated by its enrolment.
        """
        status = self.client.status
        words = {
            "": self.connection,
            "updating": "upgrading",
            "waiting": f"behind, takes on {status.waiting} when its sessions have ended",
            "failed": f"behind, went back from {status.failed}: {status.failed_why}",
        }.get(self.state, self.state)
        return f"{format_time(status.updated_at)} {words}"


def version_state(client: ClientSummary, wanted: str | None) -> str:
    """Say where a client's version stands; nothing while it has not connected, or the site brings no client."""
    if client.version is None or wanted is None:
        return ""
    if not rollout.behind(client.version, wanted):
        return "current"
    if client.status.failed == wanted:
        return "failed"
    return "waiting" if client.status.waiting == wanted else "behind"


CSV_COLUMNS: Final = (
    "status_details",
    "current",
    "id",
    "name",
    "mode",
    "connection",
    "version",
    "last_seen",
    "next_check_in",
    "platform",
)


def fleet_csv(rows: Iterable[ClientRow], wanted: str | None) -> Iterator[bytes]:
    """Yield clients as CSV with a heading: who does not have the version ``wanted`` yet, then who has it (C5).

    Either part is sorted by *status details*. ``current`` says who has it, by the version and not by the date: clocks
    of clients differ, and one that was enrolled after the upgrade may be behind. Nothing if the site brings no client.
    """
    yield csv_lines.line(CSV_COLUMNS)
    for row in sorted(
        rows, key=lambda one: (one.state == "current", one.status_details, one.client.name, one.client.id)
    ):
        client = row.client
        yield csv_lines.line(
            (
                row.status_details,
                None if wanted is None else row.state == "current",
                client.id,
                client.name,
                "passive" if client.passive else "active",
                row.connection,
                client.version,
                client.last_seen,
                client.next_check_in,
                " ".join(str(client.platform.get(part, "")) for part in ("system", "release", "machine")).strip(),
            )
        )


def fleet_json(progress: FleetProgress, clients: Iterable[ClientSummary]) -> dict[str, Any]:
    """Return the fleet as a JSON object. Times are RFC 3339 in UTC."""
    return {
        "version": progress.wanted,
        "counts": {
            "clients": progress.clients,
            "current": progress.current,
            "behind": progress.behind,
            "never_seen": progress.never_seen,
            "active": progress.clients - progress.passive,
            "passive": progress.passive,
            "not_seen_since_upgrade": progress.not_seen,
            "updating": progress.updating,
            "failed": progress.failed,
        },
        "site_upgraded": _time(progress.upgraded),
        "limit": progress.limit,
        "held": progress.held or None,
        "clients": [_client_json(client, progress.wanted) for client in clients],
    }


def _client_json(client: ClientSummary, wanted: str | None) -> dict[str, Any]:
    status = client.status
    return {
        "id": client.id,
        "name": client.name,
        "mode": "passive" if client.passive else "active",
        "online": client.online,
        "revoked": client.revoked,
        "version": client.version,
        "state": version_state(client, wanted) or None,
        "enrolled_at": format_time(client.enrolled_at),
        "last_seen": _time(client.last_seen),
        "last_check_in": _time(client.last_seen) if client.passive else None,
        "next_check_in": _time(client.next_check_in),
        "seen_since_upgrade": client.seen_since_upgrade,
        "updated_at": format_time(status.updated_at),
        "failed": {"version": status.failed, "why": status.failed_why, "at": _time(status.failed_at)}
        if status.failed
        else None,
        "platform": dict(client.platform),
        "status": dict(client.detail),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)
