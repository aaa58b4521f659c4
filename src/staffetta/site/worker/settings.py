"""How often the worker's jobs run: section ``[worker]`` of the settings file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Seconds between two runs of each job."""

    expire_sessions_seconds: float = 15.0
    """Sessions whose two ends have given up are ended."""

    watch_peer_seconds: float = 1.0
    """The other appliance of the pair is asked how it is."""

    data_sync_seconds: float = 1.0
    """What the other appliance of the pair has is pulled."""

    pair_job_seconds: float = 0.5
    """The pair job has its turn, and what its owner asked of this appliance is done."""

    tidy_seconds: float = 600.0
    """Expired web sessions, old sign-in attempts, ended probes, surplus database copies are removed,
    and what broken-off uploads left."""
