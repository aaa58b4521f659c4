"""What base offers on an appliance's `control` socket: the values, and a client for them.

HTTP with JSON over a unix socket that only root and one group may open. Base's own pages and the command line
speak to it with `ApplianceControl`; base's service process answers with the same values (`to_json`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import httpx

from staffetta.control.local import (
    CONNECT_SECONDS,
    NO_TLS,
    ApplianceRefused,
    LocalClient,
    from_json,
    parsed,
    refusal,
    to_json,
)
from staffetta.control.measures import SiteMeasures
from staffetta.control.pairing import Grant, SharedAddress
from staffetta.kernel.errors import Damaged

__all__ = [
    "ApplianceControl",
    "ApplianceRefused",
    "ApplianceStatus",
    "Certificate",
    "Eula",
    "EventKind",
    "Generation",
    "InstallEvent",
    "Job",
    "JobState",
    "MetricsAccess",
    "Offer",
    "Updates",
    "Waypoint",
    "from_json",
    "to_json",
]

UPLOAD_CHUNK = 1 << 18


class JobState(StrEnum):
    """How far an install job is; `RUNNING` and `UNDOING` are under way, the others are the end."""

    RUNNING = "running"
    UNDOING = "undoing"
    COMMITTED = "committed"
    UNDONE = "undone"

    @property
    def ended(self) -> bool:
        return self in (JobState.COMMITTED, JobState.UNDONE)


class EventKind(StrEnum):
    """What a line of a job's event stream is."""

    STEP = "step"  # the job has reached a step
    PROGRESS = "progress"  # bytes within a step; has no sequence and is not kept
    ENDED = "ended"  # the last line: the job is committed or undone
    MOVED = "moved"  # the last line: base itself is moving; open again after the last sequence


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation of base or site, as keeper reports it."""

    program: str
    id: str
    version: str
    state: str
    confirmed: bool
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class ApplianceStatus:
    """Status > Basics (U6, U9, U11). `time` is the appliance's clock; `clock_problem` says how to mend a wrong one.

    `site_first_password`: whether the site's first account still has the password that the guide prints; None if the
    site does not say. `own_site_url`: the site at the appliance's own address, which leads here also while
    the name does not. `role`: what it is in a failover pair: alone, primary or backup; None if the site does not say.
    """

    name: str
    base_version: str
    site_version: str | None
    time: datetime
    hostname: str
    sessions_live: int | None
    clients_online: int | None
    eula_accepted: bool
    generations: tuple[Generation, ...] = ()
    appliance_url: str | None = None
    site_url: str | None = None
    update_server: str | None = None
    clock_offset_seconds: float | None = None
    clock_problem: str | None = None
    job: str | None = None
    device: str | None = None
    keeper_version: str | None = None
    site_first_password: bool | None = None
    own_site_url: str | None = None
    role: str | None = None

    @property
    def in_pair(self) -> bool:
        """Whether it is one of a failover pair, as far as the site says."""
        return self.role in ("primary", "backup")


@dataclass(frozen=True, slots=True)
class Offer:
    """A package that is offered. One that is not selectable says in `needs` what must be installed first (U2)."""

    target: str
    kind: str
    version: str
    size: int
    notes: str
    selectable: bool
    needs: tuple[str, ...]
    installed: bool
    eula: str | None
    eula_accepted: bool


@dataclass(frozen=True, slots=True)
class Waypoint:
    """A package on the way to the newest. `requires` are the words of what it needs that is not installed yet."""

    kind: str
    version: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Updates:
    """The last answer of the update server; `error` is the sentence of a check that failed after it.

    `way` are the packages to install, one after the other, to come to the newest (U2).
    """

    checked_at: datetime | None
    offers: tuple[Offer, ...]
    error: str | None = None
    way: tuple[Waypoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Eula:
    """The licence agreement to accept before the first install (U8)."""

    text: str
    sha256: str
    accepted: bool
    accepted_by: str | None = None
    accepted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """An install job. `step` is the step it is at or ended at; `bytes_*` are of the step under way."""

    id: str
    kind: str
    version: str
    state: JobState
    step: str
    started: datetime
    ended: datetime | None = None
    error: str | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    text: str = ""
    actor: str = ""
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class InstallEvent:
    """A line of a job's event stream. `sequence` numbers kept events; progress has none (see `EventKind`)."""

    sequence: int | None
    kind: EventKind
    step: str
    text: str
    bytes_done: int | None = None
    bytes_total: int | None = None
    state: JobState | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate a door shows: `name` is `site` or `appliance`. Warnings say how to mend them (H1)."""

    name: str
    subject: str
    issuer: str
    sans: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    warnings: tuple[str, ...]
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class MetricsAccess:
    """Whether the metrics at ``url`` can be read with a token, and who made it when."""

    url: str
    enabled: bool
    made_by: str | None = None
    made_at: datetime | None = None


class ApplianceControl(LocalClient):
    """A client of one appliance's control socket."""

    def status(self) -> ApplianceStatus:
        return from_json(ApplianceStatus, self._get("/v1/status"))

    def measures(self) -> SiteMeasures | None:
        """What the active site says of itself in numbers; None when there is no site, or it does not say."""
        answer = self._get("/v1/measures")
        return None if answer is None else from_json(SiteMeasures, answer)

    def check_updates(self, actor: str) -> Updates:
        """Ask the update server now. A server that cannot be reached is in `error`, not an exception."""
        return from_json(Updates, self._post("/v1/updates/check", {"actor": actor}))

    def updates(self) -> Updates:
        return from_json(Updates, self._get("/v1/updates"))

    def eula(self) -> Eula:
        """The agreement of the packages on offer. `ApplianceRefused` (404) when none has one."""
        return from_json(Eula, self._get("/v1/eula"))

    def accept_eula(self, sha256: str, actor: str) -> None:
        """Accept the agreement whose text has this hash, so that what was read is what is accepted."""
        self._post("/v1/eula", {"sha256": sha256, "actor": actor})

    def install(self, target: str, actor: str) -> str:
        """Start installing an offer; returns the job's id."""
        return self._job(self._post("/v1/installs", {"target": target, "actor": actor}))

    def install_file(self, path: Path, actor: str) -> str:
        """*Manual installation*: upload a bundle file and start installing from it; returns the job's id."""
        return self.install_upload(path.name, _chunks(path), actor)

    def install_upload(self, name: str, content: Iterable[bytes], actor: str) -> str:
        """As `install_file`, for content that is already streaming in."""
        return self._job(
            self._request("POST", "/v1/installs/upload", params={"name": name, "actor": actor}, content=iter(content))
        )

    def jobs(self) -> tuple[Job, ...]:
        """Every install job, newest first."""
        answer = self._get("/v1/installs")
        if not isinstance(answer, dict) or not isinstance(answer.get("jobs"), list):
            raise Damaged("The appliance's answer holds no jobs.")
        return tuple(from_json(Job, job) for job in answer["jobs"])

    def job(self, job: str) -> Job:
        return from_json(Job, self._get(f"/v1/installs/{job}"))

    def watch(self, job: str, after: int = 0) -> Iterator[InstallEvent]:
        """A job's events after a sequence, up to and including `ENDED` or `MOVED`. After `MOVED`, or `Unavailable`
        in the middle, open again after the last sequence seen."""
        try:
            with self._client.stream(
                "GET",
                f"/v1/installs/{job}/events",
                params={"after": after},
                headers={"Connection": "close"},  # an older base keeps it, and would be asked again while it leaves
                timeout=_STREAM_TIMEOUT,
            ) as response:
                if response.status_code >= 400:
                    response.read()
                    raise refusal(response)
                for line in response.iter_lines():
                    if line.strip():
                        yield _event(line)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error

    async def events(self, job: str, after: int = 0) -> AsyncIterator[InstallEvent]:
        """`watch` for an event loop."""
        transport = httpx.AsyncHTTPTransport(uds=str(self._path), verify=NO_TLS)
        try:
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://appliance", timeout=_STREAM_TIMEOUT) as client,
                client.stream("GET", f"/v1/installs/{job}/events", params={"after": after}) as response,
            ):
                if response.status_code >= 400:
                    await response.aread()
                    raise refusal(response)
                async for line in response.aiter_lines():
                    if line.strip():
                        yield _event(line)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error

    def certificates(self) -> tuple[Certificate, ...]:
        answer = self._get("/v1/certificates")
        if not isinstance(answer, list):
            raise Damaged("The appliance's answer is not a list of certificates.")
        return tuple(from_json(Certificate, item) for item in answer)

    def replace_certificate(self, name: str, pem: str, actor: str) -> Certificate:
        """Put one's own private key and certificate chain in place of `site`'s or `appliance`'s, with no restart."""
        return from_json(Certificate, self._post(f"/v1/certificates/{name}", {"pem": pem, "actor": actor}))

    def shared_address(self) -> SharedAddress:
        """Networking > IP configuration, as far as the shared address goes (H5)."""
        return from_json(SharedAddress, self._get("/v1/shared-address"))

    def enable_shared_address(self, enabled: bool, actor: str) -> SharedAddress:
        """Tick or untick *Enabled*: unticked it is let go of at once, ticked it follows the role (F9)."""
        return from_json(SharedAddress, self._post("/v1/shared-address", {"enabled": enabled, "actor": actor}))

    def metrics_access(self) -> MetricsAccess:
        """Whether metrics can be read."""
        return from_json(MetricsAccess, self._get("/v1/metrics"))

    def make_metrics_token(self, actor: str) -> str:
        """Let metrics be read with a new token, which is returned and can never be seen again."""
        answer = self._post("/v1/metrics/token", {"actor": actor})
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise Damaged("The appliance's answer holds no token.")
        return token

    def withdraw_metrics_token(self, actor: str) -> None:
        """Let nobody read metrics any more."""
        self._post("/v1/metrics/token/withdraw", {"actor": actor})

    def pair_grant(self) -> Grant | None:
        """The pair upgrade that is permitted now, if one is."""
        answer = self._get("/v1/pair/grant")
        grant = answer.get("grant") if isinstance(answer, dict) else None
        return None if grant is None else from_json(Grant, grant)

    def grant_pair_upgrade(self, hours: int, actor: str) -> Grant:
        """Permit one pair upgrade on this appliance for so many hours."""
        return from_json(Grant, self._post("/v1/pair/grant", {"hours": hours, "actor": actor}))

    def withdraw_pair_upgrade(self, actor: str) -> None:
        """Permit none any more."""
        self._post("/v1/pair/grant/withdraw", {"actor": actor})


_STREAM_TIMEOUT = httpx.Timeout(60.0, connect=CONNECT_SECONDS)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(UPLOAD_CHUNK):
            yield chunk


def _event(line: str) -> InstallEvent:
    return from_json(InstallEvent, parsed(line))
