"""How often the worker's jobs run: section ``[worker]`` of the settings file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Seconds between two runs of each job."""

    expire_sessions_seconds: float = 15.0
    """Sessions whose two ends have given up are ended."""

    watch_peer_seconds: float = 1.0
    """The other appliance of the pair is asked how it is."""

    sync_seconds: float = 1.0
    """The pause between two rounds of data-sync with the other appliance."""

    tidy_seconds: float = 600.0
    """Expired web sessions, old sign-in attempts, ended probes, surplus database copies are removed,
    and what broken-off uploads left."""
