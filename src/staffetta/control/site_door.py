"""What base offers to the site on the `site-door` socket, a closed list: the values, and the client of the pair job.

HTTP with JSON over a unix socket that the site's group may open, while the control socket stays shut to it. Base
believes nothing it is told here: it redoes every check, and installs only what an administrator of this appliance
has granted. Each request is audited with the user the kernel vouches for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from staffetta.control.appliance import Job, Offer, Updates
from staffetta.control.local import LocalClient, from_json
from staffetta.control.pairing import Grant, SharedAddress, SharedPhase, SharedState

__all__ = ["DoorStatus", "Grant", "SharedAddress", "SharedPhase", "SharedState", "SiteDoor"]


@dataclass(frozen=True, slots=True)
class DoorStatus:
    """What the pair job needs to know of this appliance. `clock_offset_seconds`: the update server's time minus ours.

    `offers` are those of the last check, which `checked_at` and `updates_error` tell of; `job` is the install job
    under way, `grant` what an administrator permits at this moment.
    """

    name: str
    base_version: str
    site_version: str | None
    time: datetime
    shared: SharedAddress
    grant: Grant | None = None
    clock_offset_seconds: float | None = None
    clock_problem: str | None = None
    offers: tuple[Offer, ...] = ()
    checked_at: datetime | None = None
    updates_error: str | None = None
    job: Job | None = None


class SiteDoor(LocalClient):
    """A client of this appliance's site door; ``actor`` says on whose behalf, for the audit log."""

    def status(self) -> DoorStatus:
        return from_json(DoorStatus, self._get("/v1/status"))

    def shared(self, phase: SharedPhase, term: int, actor: str) -> SharedAddress:
        """Do one phase; again is the same as once. Refused for a term lower than one that was already acted upon."""
        return from_json(SharedAddress, self._post(f"/v1/shared/{phase}", {"term": term, "actor": actor}))

    def check_updates(self, actor: str) -> Updates:
        """Ask the update server now. A server that cannot be reached is in `error`, not an exception."""
        return from_json(Updates, self._post("/v1/updates/check", {"actor": actor}))

    def begin_install(self, job: str, step: str, target: str) -> str:
        """Start installing an offer for a step of a pair job; returns the install job's id.

        Said again for the same (job, step) it returns the same id, however that ended: to try anew, name another step.
        Refused without a grant, and for every reason for which an administrator would be refused.
        """
        return self._job(self._post("/v1/installs", {"job": job, "step": step, "target": target}))

    def install(self, job: str) -> Job:
        """An install job that a pair job began, by the id that `begin_install` returned."""
        return from_json(Job, self._get(f"/v1/installs/{job}"))

    def grant(self) -> Grant | None:
        """What an administrator permits at this moment."""
        return self.status().grant
