"""What the install journal says: the forms of its entries, and a job as read from them.

Pure: entries come in as data, times as values. An entry is one of
- `job`: a job begins, at `verify`;
- `step`: the job is now at another step, because of an event; carries what the step before it found out;
- `attempt`: a generation is about to be started, so that attempts are counted whatever dies meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from staffetta.base.installs.states import INSTALL, InstallEvent, InstallState
from staffetta.kernel.clock import format_time, parse_time
from staffetta.kernel.errors import Damaged
from staffetta.kernel.states import advance
from staffetta.packages import Kind, PackageInfo, Version, parse_info, parse_version


class UnreadableEntry(Damaged):
    """An entry of the install journal is none of the forms."""

    code = "journal-damaged"


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One install job as far as the journal knows it.

    `package` is what the signed metadata says of it, once verified. `previous` is the version that ran when it began
    (None: the first install). `proved` is the generation that passed its probe. `bundle` is the uploaded file it
    installs from, by name; None means the update server. `stale` are the ended generations of this version that were
    there before the last attempt.
    """

    id: str
    program: Kind
    target: str
    version: Version
    previous: Version | None
    actor: str
    started: datetime
    bundle: str | None = None
    package: PackageInfo | None = None
    state: InstallState = InstallState.VERIFY
    attempts: int = 0
    stale: tuple[str, ...] = ()
    proved: str | None = None
    reason: str | None = None
    ended: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.state in INSTALL.finals

    @property
    def label(self) -> str:
        """How people call what is installed: `site 1.1`."""
        return f"{self.program} {self.version}"


class Numbered(Protocol):
    """An entry of a journal: its number and its data."""

    @property
    def sequence(self) -> int: ...

    @property
    def data(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Told:
    """One journalled moment of a job, as pages and logs show it."""

    sequence: int
    job: str
    state: InstallState
    text: str
    time: datetime


def job_entry(record: JobRecord) -> dict[str, Any]:
    """The entry that begins a job."""
    return {
        "type": "job",
        "job": record.id,
        "program": record.program.value,
        "target": record.target,
        "version": str(record.version),
        "previous": None if record.previous is None else str(record.previous),
        "actor": record.actor,
        "bundle": record.bundle,
        "time": format_time(record.started),
    }


def step_entry(
    record: JobRecord,
    event: InstallEvent,
    time: datetime,
    *,
    package: PackageInfo | None = None,
    proved: str | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    """The entry that moves a job on. Raises IllegalTransition for an event its state does not know."""
    return {
        "type": "step",
        "job": record.id,
        "event": event.value,
        "step": advance(INSTALL, record.state, event),
        "time": format_time(time),
        **({} if package is None else {"package": package_fields(package)}),
        **({} if proved is None else {"proved": proved}),
        **({} if reason is None else {"reason": reason}),
    }


def attempt_entry(record: JobRecord, stale: Iterable[str], time: datetime) -> dict[str, Any]:
    """The entry written before a generation is started."""
    return {
        "type": "attempt",
        "job": record.id,
        "attempt": record.attempts + 1,
        "stale": list(stale),
        "time": format_time(time),
    }


def apply(record: JobRecord | None, data: Mapping[str, Any]) -> JobRecord:
    """The job after an entry of its own; `record` is None for the entry that begins it."""
    try:
        time = parse_time(data["time"])
        if data["type"] == "job" and record is None:
            return JobRecord(
                id=data["job"],
                program=Kind(data["program"]),
                target=data["target"],
                version=parse_version(data["version"]),
                previous=None if data["previous"] is None else parse_version(data["previous"]),
                actor=data["actor"],
                started=time,
                bundle=data["bundle"],
            )
        if record is None:
            raise UnreadableEntry(f"The install journal speaks of job {data['job']} before it begins.")
        if data["type"] == "attempt":
            return replace(record, attempts=int(data["attempt"]), stale=tuple(data["stale"]))
        if data["type"] == "step":
            state = InstallState(advance(INSTALL, record.state, data["event"]))
            return replace(
                record,
                state=state,
                package=read_package_fields(data["package"]) if "package" in data else record.package,
                proved=data.get("proved", record.proved),
                reason=data.get("reason", record.reason),
                ended=time if state in INSTALL.finals else None,
            )
    except (KeyError, TypeError, ValueError, Damaged) as error:
        raise UnreadableEntry(f"The install journal has an entry that cannot be read ({error!r}).") from error
    raise UnreadableEntry(f"The install journal has an entry of unknown type {data.get('type')!r}.")


def package_fields(info: PackageInfo) -> dict[str, Any]:
    """A verified description as JSON data, to be kept among base's own files."""
    custom = {
        "kind": info.kind.value,
        "version": str(info.version),
        "requires": [str(requirement) for requirement in info.requires],
        "eula_sha256": info.eula_sha256,
        "notes": info.notes,
        "installed_size": info.installed_size,
        "python_abi": info.python_abi,
        "platform": info.platform,
        "interpreter": info.interpreter,
        "published": format_time(info.published),
    }
    return {"target": info.target, "size": info.size, "sha256": info.sha256, "custom": custom}


def read_package_fields(fields: Mapping[str, Any]) -> PackageInfo:
    """The inverse of `package_fields`."""
    return parse_info(fields["target"], fields["size"], fields["sha256"], fields["custom"])


def replay(entries: Iterable[Numbered]) -> tuple[dict[str, JobRecord], tuple[Told, ...]]:
    """Every job by id, in the order they began, and every moment told, in order."""
    jobs: dict[str, JobRecord] = {}
    told: list[Told] = []
    for entry in entries:
        record = apply(jobs.get(str(entry.data.get("job"))), entry.data)
        jobs[record.id] = record
        told.append(tell(entry, record))
    return jobs, tuple(told)


def tell(entry: Numbered, record: JobRecord) -> Told:
    """The moment an entry stands for; `record` is the job after it."""
    return Told(entry.sequence, record.id, record.state, sentence(record), parse_time(entry.data["time"]))


def sentence(record: JobRecord) -> str:
    """Where a job is, in words for pages and logs."""
    label, before = record.label, f"{record.program} {record.previous}"
    reason = record.reason or "No reason was written."
    match record.state:
        case InstallState.VERIFY:
            return f"Verifying {label}: signatures, requirements and licence agreement."
        case InstallState.RESERVE:
            return "Checking that the disk has room for it."
        case InstallState.DOWNLOAD:
            return f"Fetching {label}."
        case InstallState.STAGE:
            return f"Unpacking {label} beside the version that runs."
        case InstallState.CHECK:
            return "Checking every file against the signed manifest."
        case InstallState.SNAPSHOT:
            return "Keeping a copy of the database."
        case InstallState.MIGRATE:
            return "Extending the database; the version that runs goes on working with it."
        case InstallState.START if record.attempts > 1:
            return f"Starting {label} beside the version that runs, attempt {record.attempts}."
        case InstallState.START:
            return f"Starting {label} beside the version that runs."
        case InstallState.PROVE:
            return f"{label} must prove itself before it gets any traffic."
        case InstallState.ACTIVATE:
            return f"{label} is proven; handing it the open sockets."
        case InstallState.CONFIRM:
            return f"{label} has the sockets; making sure that it answers."
        case InstallState.FLIP:
            return f"{label} is confirmed; making it the version that starts from now on."
        case InstallState.COMMIT:
            return f"{label} is the current version."
        case InstallState.PRUNE:
            return "Removing releases that nothing needs any more."
        case InstallState.UNDO:
            return f"Going back. {reason}"
        case InstallState.COMMITTED:
            return f"{label} is installed."
        case InstallState.UNDONE if record.previous is None:
            return f"{label} was not installed. {reason}"
        case InstallState.UNDONE:
            return f"{label} was not installed; {before} goes on. {reason}"
