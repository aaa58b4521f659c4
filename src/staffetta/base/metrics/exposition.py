"""Pure: a picture of the appliance as metrics, in Prometheus' text format or OpenMetrics.

Names follow Prometheus' conventions (base units, `_total`, moments as seconds since 1970). What is not known is left
out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from staffetta.control.appliance import Certificate, Job, JobState, Updates
from staffetta.control.measures import NEEDS_A_PERSON, PAUSE_BUCKETS_MS, PairMeasures, PauseMeasures, SiteMeasures
from staffetta.control.verbs import KeeperStatus

ROLES: Final = ("alone", "primary", "backup")


@dataclass(frozen=True, slots=True)
class Room:
    """The appliance's file system, in bytes."""

    free: int
    total: int


@dataclass(frozen=True, slots=True)
class OwnDoor:
    """The door of /appliance, and the loop behind it."""

    answers: Mapping[int, int]
    connections: int
    loop_lag_seconds: float


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that metrics are made of. ``started`` says when the active generation of a program began to answer."""

    keeper: KeeperStatus
    started: Mapping[str, float]
    site: SiteMeasures | None
    door: OwnDoor
    jobs: tuple[Job, ...]
    updates: Updates
    certificates: tuple[Certificate, ...]
    room: Room
    clock_offset_seconds: float | None


def exposition(picture: Picture, accept: str) -> tuple[bytes, str]:
    """The text and its content type, in the form that the asker accepts."""
    registry = CollectorRegistry()
    registry.register(_Picture(picture))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


class _Picture(Collector):
    """The library asks a collector; this one has its answer already."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def collect(self) -> Iterable[Metric]:
        return (*_programs(self._picture), *_base(self._picture), *_site(self._picture.site))


def _programs(picture: Picture) -> Iterator[Metric]:
    build = InfoMetricFamily("staffetta_build", "Versions that run.", labels=("program",))
    up = _gauge("staffetta_program_up", "1 if a generation of the program has the sockets.", "program")
    since = _gauge(
        "staffetta_program_start_time_seconds",
        "When the generation that has the sockets began to answer.",
        "program",
        "generation",
    )
    many = _gauge("staffetta_generations", "Generations that keeper knows.", "program", "state")
    restarts = CounterMetricFamily(
        "staffetta_process_restarts",
        "How often keeper has started a process of the active generation again.",
        labels=("program", "process"),
    )
    build.add_metric(("keeper",), {"version": picture.keeper.version})
    for name, program in sorted(picture.keeper.programs.items()):
        active = program.active_generation
        up.add_metric((name,), active is not None)
        for state, count in sorted(Counter(one.state.value for one in program.generations).items()):
            many.add_metric((name, state), count)
        if active is None:
            continue
        build.add_metric((name,), {"version": active.version})
        if name in picture.started:
            since.add_metric((name, active.id), picture.started[name])
        for process in active.processes:
            restarts.add_metric((name, process.name), process.restarts)
    yield from (build, up, since, many, restarts, *_doors(picture))


def _doors(picture: Picture) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "staffetta_http_requests",
        "Answers that a door has given, by the class of their status; 1xx became WebSockets.",
        labels=("program", "code"),
    )
    open_now = _gauge("staffetta_connections", "Connections open at a door, WebSockets among them.", "program")
    lag = _gauge(
        "staffetta_event_loop_lag_seconds", "The longest delay of a timer in the last minute, behind a door.", "program"
    )
    doors = {"base": picture.door}
    if (site := picture.site) is not None:
        answers = {one.status_class: one.count for one in site.answers}
        doors["site"] = OwnDoor(answers, site.connections, site.loop_lag_seconds)
    for program, door in doors.items():
        for number, count in sorted(door.answers.items()):
            requests.add_metric((program, f"{number}xx"), count)
        open_now.add_metric((program,), door.connections)
        lag.add_metric((program,), door.loop_lag_seconds)
    yield from (requests, open_now, lag)


def _base(picture: Picture) -> Iterator[Metric]:
    ended = CounterMetricFamily("staffetta_install_jobs", "Install jobs that have ended.", labels=("program", "result"))
    results = Counter((job.kind, job.state) for job in picture.jobs if job.state.ended)
    for program in sorted({*picture.keeper.programs, *(job.kind for job in picture.jobs)}):
        for result in (JobState.COMMITTED, JobState.UNDONE):
            ended.add_metric((program, result.value), results[program, result])
    yield ended
    yield _one("staffetta_install_job_running", "1 while an install job is open.", _open(picture.jobs))
    updates = picture.updates
    yield _one("staffetta_updates_available", "Packages on offer.", len(updates.offers))
    yield _one("staffetta_update_check_failed", "1 if the last check for updates failed.", updates.error is not None)
    yield from _moment(
        "staffetta_update_check_last_success_timestamp_seconds", "When a check succeeded last.", updates.checked_at
    )
    if picture.clock_offset_seconds is not None:
        text = "The update server's time minus this clock's, at the last check."
        yield _one("staffetta_clock_offset_seconds", text, picture.clock_offset_seconds)
    expiry = _gauge(
        "staffetta_certificate_expiry_timestamp_seconds", "When the certificate of a door expires.", "certificate"
    )
    for certificate in picture.certificates:
        expiry.add_metric((certificate.name,), certificate.not_after.timestamp())
    yield expiry
    yield _one("staffetta_disk_free_bytes", "Room on the appliance's file system.", picture.room.free)
    yield _one("staffetta_disk_size_bytes", "Size of the appliance's file system.", picture.room.total)


def _open(jobs: tuple[Job, ...]) -> bool:
    return any(not job.state.ended for job in jobs)


def _site(site: SiteMeasures | None) -> Iterator[Metric]:
    yield _one("staffetta_site_answers", "1 if the site tells its numbers to base.", site is not None)
    if site is None:
        return
    role = _gauge("staffetta_role", "1 for the role that this appliance has.", "role")
    for name in ROLES:
        role.add_metric((name,), site.role == name)
    yield role
    yield _one("staffetta_role_term", "The role term, which rises at every change of the primary.", site.role_term)
    yield _one("staffetta_sessions_live", "Sessions with an end at this appliance.", site.sessions_live)
    yield _one("staffetta_representatives_online", "Technicians with a console connected.", site.reps_online)
    fleet = site.fleet
    yield _one("staffetta_clients_enrolled", "Jump Clients that are not revoked.", fleet.enrolled)
    yield _one("staffetta_clients_online", "Jump Clients that are connected.", fleet.online)
    yield _one("staffetta_clients_behind", "Jump Clients last seen with an older version.", fleet.behind)
    yield _one("staffetta_clients_updating", "Jump Clients that may update now.", fleet.updating)
    yield from _pauses(site.pauses)
    yield from _moment("staffetta_backup_last_timestamp_seconds", "When a backup was made last.", site.backup_at)
    yield _one("staffetta_pair_established", "1 if this appliance is one of a pair.", site.pair is not None)
    if site.pair is not None:
        yield from _pair(site.pair)


def _pauses(pauses: PauseMeasures) -> Iterator[Metric]:
    if len(pauses.counts) != len(PAUSE_BUCKETS_MS) + 1:
        return  # of a release with other bounds
    bounds = (*(f"{bound / 1000:g}" for bound in PAUSE_BUCKETS_MS), "+Inf")
    yield HistogramMetricFamily(
        "staffetta_session_pause_seconds",
        "How long an end of a session was away before it attached again, where that is known.",
        buckets=[*zip(bounds, accumulate(pauses.counts), strict=True)],
        sum_value=pauses.sum_ms / 1000,
    )
    text = "Ends of sessions that attached again, of unknown pause too."
    yield CounterMetricFamily("staffetta_session_resumes", text, value=pauses.resumed)


def _pair(pair: PairMeasures) -> Iterator[Metric]:
    if pair.peer_heard_seconds is not None:
        text = "Since when the other appliance was not heard."
        yield _one("staffetta_peer_silence_seconds", text, pair.peer_heard_seconds)
    if pair.sync_age_seconds is not None:
        yield _one("staffetta_sync_lag_seconds", "How long ago the last whole data-sync ended.", pair.sync_age_seconds)
    yield from _moment(
        "staffetta_sync_last_success_timestamp_seconds", "When the last whole data-sync ended.", pair.synced_at
    )
    yield _one("staffetta_sync_behind_records", "Records that the backup lacks.", pair.records_behind)
    yield _one("staffetta_sync_behind_files", "Files that the backup lacks.", pair.files_behind)
    yield _one("staffetta_sync_behind_bytes", "Bytes of files that the backup lacks.", pair.bytes_behind)
    alarm = _gauge("staffetta_pair_alarm", "1 for each thing about the pair that a person should see to.", "alarm")
    for code in sorted(set(pair.alarm_codes)):
        alarm.add_metric((code,), 1)
    yield alarm
    waits = pair.job_state == NEEDS_A_PERSON
    yield _one("staffetta_pair_job_running", "1 while a pair job is open.", pair.job is not None)
    yield _one("staffetta_pair_job_needs_person", "1 while a pair job waits for a person.", waits)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=labels)


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _moment(name: str, text: str, at: datetime | None) -> Iterator[Metric]:
    if at is not None:
        yield _one(name, text, at.timestamp())
