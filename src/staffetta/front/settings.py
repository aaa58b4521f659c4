"""The limits of a door, as one documented frozen object: section ``[front]`` of the settings file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """Limits of a program's TLS door. Times are seconds, sizes bytes."""

    handshake_seconds: float = 10.0
    """A TLS handshake that takes longer is cut."""

    header_seconds: float = 10.0
    """From the first byte of a request to the end of its header; a slower client is cut."""

    keepalive_seconds: float = 75.0
    """An idle kept-alive connection is closed after this, outside a drain."""

    body_limit_bytes: int = 16 * 1024**3
    """The largest body of a request that is passed to the pages; a larger one is answered 413."""

    body_stall_seconds: float = 60.0
    """An upload from which nothing came for this long is cut."""

    upstream_seconds: float = 10.0
    """How long a request waits for a local web process that is just restarting."""

    drain_handshake_seconds: float = 1.0
    """At least this long after accepting stopped, a drain waits for connections that are still being set up."""

    drain_idle_seconds: float = 5.0
    """In a drain, a kept-alive connection is closed only after it was idle for this long, so that a request of its
    client is not on its way at that moment."""
