"""Jump Clients as rows of the page and as JSON for programs: version, behind or current, updated when, what failed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from staffetta.kernel.clock import format_time, utc_now
from staffetta.site.fleet import rollout
from staffetta.site.fleet.service import ClientSummary
from staffetta.site.fleet.updates import FleetProgress


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client, and where its version stands: ``current``, ``behind``, ``waiting``, ``failed``, or empty (unknown).

    ``overdue``: a passive one that should have checked in by now.
    """

    client: ClientSummary
    state: str
    overdue: bool = False

    @classmethod
    def of(cls, client: ClientSummary, wanted: str | None) -> "ClientRow":
        """Compare a client with the version that this site's clients become."""
        due = client.next_check_in
        return cls(client, version_state(client, wanted), due is not None and due < utc_now())


def version_state(client: ClientSummary, wanted: str | None) -> str:
    """Say where a client's version stands; nothing while it has not connected, or the site brings no client."""
    if client.version is None or wanted is None:
        return ""
    if not rollout.behind(client.version, wanted):
        return "current"
    if client.status.failed == wanted:
        return "failed"
    return "waiting" if client.status.waiting == wanted else "behind"


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
