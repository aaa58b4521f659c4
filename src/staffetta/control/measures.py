"""What the active site tells base about itself in numbers, for the doctor and for metrics: values, no names of people.

A site of an older release does not answer the question; a field that it does not send takes its default.
"""

from dataclasses import dataclass
from datetime import datetime

MEASURES_PATH = "/v1/measures"
"""Where it is asked on a generation's private socket."""

NEEDS_A_PERSON = "needs-a-person"
"""The state of a pair job that somebody must see to."""

PAUSE_BUCKETS_MS = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
"""Upper bounds of the pauses' histogram, in milliseconds; a last one without a bound follows."""


@dataclass(frozen=True, slots=True)
class PauseMeasures:
    """How long ends of sessions were away before they attached again, counted since the process began.

    ``counts`` are those of ``PAUSE_BUCKETS_MS`` and of all that is longer, each by itself; ``sum_ms`` is all together.
    ``resumed`` counts every attach but the first of an end, those of unknown pause too.
    """

    counts: tuple[int, ...] = (0,) * (len(PAUSE_BUCKETS_MS) + 1)
    sum_ms: int = 0
    resumed: int = 0


@dataclass(frozen=True, slots=True)
class FleetMeasures:
    """Jump Clients that are not revoked; ``behind`` have been seen with another version than the site brings."""

    enrolled: int
    online: int
    behind: int
    updating: int


@dataclass(frozen=True, slots=True)
class AnswerMeasures:
    """How many answers of a class (2 for 2xx and so on; 1 are connections that became WebSockets) a door gave."""

    status_class: int
    count: int


@dataclass(frozen=True, slots=True)
class PairMeasures:
    """The pair as this appliance sees it. Ages are seconds by its clock, None before the first time.

    ``alarms`` are sentences. ``job`` is the pair job under way, with its state in the word of the job.
    """

    peer: str
    peer_heard_seconds: float | None
    sync_age_seconds: float | None
    records_behind: int
    files_behind: int
    bytes_behind: int
    sync_error: str = ""
    synced_at: datetime | None = None
    alarm_codes: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    job: str | None = None
    job_state: str | None = None
    job_sentence: str = ""


@dataclass(frozen=True, slots=True)
class SiteMeasures:
    """The whole picture of one gateway process."""

    version: str
    generation: str
    role: str
    role_term: int
    sessions_live: int
    connections: int
    fleet: FleetMeasures
    reps_online: int
    pauses: PauseMeasures
    answers: tuple[AnswerMeasures, ...] = ()
    loop_lag_seconds: float = 0.0
    backup_at: datetime | None = None
    pair: PairMeasures | None = None
