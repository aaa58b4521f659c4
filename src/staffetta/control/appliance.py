"""What base offers on an appliance's `control` socket: the values, and a client for them.

HTTP with JSON over a unix socket that only root and one group may open. Base's own pages and the command line
speak to it with `ApplianceControl`; base's service process answers with the same values (`to_json`).
Fields a newer base adds are ignored by an older reader; a field an older base does not send takes its default.
"""

from __future__ import annotations

import dataclasses
import json
import os
import ssl
import types
import typing
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import httpx

from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.errors import Damaged, StaffettaError, Unavailable

T = TypeVar("T")

# Long requests (an upload, a check with a slow update server) answer late; connecting to a local socket never does.
ANSWER_SECONDS = 120.0
CONNECT_SECONDS = 5.0

# A local socket carries no TLS; without this, httpx reads every authority of the system for each client (29 ms).
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
UPLOAD_CHUNK = 1 << 18


class ApplianceRefused(StaffettaError):
    """Base refused a request; `code`, the sentence and both statuses are those of the error it met there."""

    # Every other error of ours has these per class; this one stands for an error of another process.
    def __init__(self, code: str, message: str, http_status: int) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]
        self.http_status = http_status  # type: ignore[misc]
        self.exit_status = _EXIT_STATUSES.get(http_status, 1)  # type: ignore[misc]


# The exit statuses of the kernel's error classes, found again from the HTTP status.
_EXIT_STATUSES: Mapping[int, int] = {400: 2, 403: 3, 404: 4, 409: 5, 503: 6, 422: 7, 507: 8}


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
    """Status > Basics (U6, U9, U11). `time` is the appliance's clock; `clock_problem` says how to mend a wrong one."""

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
class Updates:
    """The last answer of the update server; `error` is the sentence of a check that failed after it."""

    checked_at: datetime | None
    offers: tuple[Offer, ...]
    error: str | None = None


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


def to_json(value: object) -> object:
    """A value of this module as plain JSON data: times in ISO 8601 UTC, tuples as lists."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, StrEnum):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def from_json(cls: type[T], data: object) -> T:
    """Plain JSON data as the dataclass `cls`. Damaged if a field is missing or of another type."""
    if not isinstance(data, dict):
        raise Damaged(f"The appliance's answer is not of the form {cls.__name__}.")
    hints = typing.get_type_hints(cls)
    values: dict[str, object] = {}
    for field in dataclasses.fields(cast(Any, cls)):
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name], f"{cls.__name__}.{field.name}")
        elif field.default is dataclasses.MISSING:
            raise Damaged(f"The appliance's answer lacks {cls.__name__}.{field.name}.")
    return cls(**values)


def _value(hint: Any, data: object, where: str) -> object:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _value(next(part for part in typing.get_args(hint) if part is not type(None)), data, where)
    if origin is tuple and isinstance(data, list):
        return tuple(_value(typing.get_args(hint)[0], item, where) for item in data)
    if isinstance(hint, type):
        if dataclasses.is_dataclass(hint):
            return from_json(hint, data)
        if hint is datetime and isinstance(data, str):
            return parse_time(data)
        if issubclass(hint, StrEnum) and data in list(hint):
            return hint(cast(str, data))
        if hint is float and isinstance(data, (int, float)) and not isinstance(data, bool):
            return float(data)
        if type(data) is hint:
            return data
    raise Damaged(f"The appliance's answer has {data!r} as {where}.")


class ApplianceControl:
    """A client of one appliance's control socket. Every call raises `ApplianceRefused` with what base said,
    or `Unavailable` when base does not answer (it may be restarting: ask again)."""

    _TIMEOUT: ClassVar[httpx.Timeout] = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket_path), verify=_NO_TLS),
            base_url="http://appliance",
            timeout=self._TIMEOUT,
        )

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> ApplianceControl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def status(self) -> ApplianceStatus:
        return from_json(ApplianceStatus, self._get("/v1/status"))

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
                "GET", f"/v1/installs/{job}/events", params={"after": after}, timeout=_STREAM_TIMEOUT
            ) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _refusal(response)
                for line in response.iter_lines():
                    if line.strip():
                        yield _event(line)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error

    async def events(self, job: str, after: int = 0) -> AsyncIterator[InstallEvent]:
        """`watch` for an event loop."""
        transport = httpx.AsyncHTTPTransport(uds=str(self._path), verify=_NO_TLS)
        try:
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://appliance", timeout=_STREAM_TIMEOUT) as client,
                client.stream("GET", f"/v1/installs/{job}/events", params={"after": after}) as response,
            ):
                if response.status_code >= 400:
                    await response.aread()
                    raise _refusal(response)
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

    def _get(self, path: str) -> object:
        return self._request("GET", path)

    def _post(self, path: str, body: Mapping[str, str]) -> object:
        return self._request("POST", path, json=dict(body))

    def _request(self, method: str, path: str, **options: Any) -> object:
        try:
            response = self._client.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unavailable(error) from error
        if response.status_code >= 400:
            raise _refusal(response)
        return _parsed(response.text)

    def _job(self, answer: object) -> str:
        job = answer.get("job") if isinstance(answer, dict) else None
        if not isinstance(job, str):
            raise Damaged("The appliance's answer names no job.")
        return job

    def _unavailable(self, error: Exception) -> Unavailable:
        if not os.access(self._path, os.R_OK | os.W_OK):
            return Unavailable(
                f"No appliance that you may steer runs in {self._path.parent.parent}: {self._path} is missing or may "
                "not be opened. Check the folder and that its keeper runs; only root and the appliance's group may ask."
            )
        return Unavailable(f"The appliance's base does not answer on {self._path} ({error}); try again in a moment.")


_STREAM_TIMEOUT = httpx.Timeout(60.0, connect=CONNECT_SECONDS)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while chunk := source.read(UPLOAD_CHUNK):
            yield chunk


def _event(line: str) -> InstallEvent:
    return from_json(InstallEvent, _parsed(line))


def _parsed(text: str) -> object:
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise Damaged("The appliance's base answered something that is not JSON.") from error


def _refusal(response: httpx.Response) -> ApplianceRefused:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict) and isinstance(body.get("code"), str) and isinstance(body.get("message"), str):
        return ApplianceRefused(body["code"], body["message"], response.status_code)
    return ApplianceRefused(
        "unexpected", f"The appliance's base answered {response.status_code}.", response.status_code
    )
