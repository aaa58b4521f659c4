"""The limits of the gateway, as one documented frozen object: section ``[gateway]`` of the settings file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Limits of a site's gateway. Times are seconds, sizes bytes."""

    hello_seconds: float = 10.0
    """From the challenge to a proven ``hello`` or ``attach``; a slower connection is closed."""

    ping_seconds: int = 20
    """How often an idle Jump Client or console is asked to ping; it counts as gone after two missed and a little."""

    session_silent_seconds: float = 5.0
    """An end's session connection on which nothing was heard for this long is closed (ends ping every second)."""

    held_bytes: int = 8 * 1024**2
    """What may wait to be sent on one connection; a reader slower than that is closed (4413), no other is slowed."""

    moves_per_second: int = 200
    """How many idle clients are told per second to move in a drain: each costs the taker a TLS handshake."""

    move_patience_seconds: float = 60.0
    """Who has not moved by itself this long into a drain is closed (4412) and dials again."""

    arrival_seconds: float = 5.0
    """How long opening a session waits for a Jump Client that is still on an older generation."""

    wake_seconds: float = 12.0
    """How long opening a session waits for a passive Jump Client, where the console cannot be told that it waits."""

    wake_again_seconds: float = 30.0
    """How often a passive Jump Client that a rep waits for is woken again."""

    recheck_seconds: float = 2.0
    """How often the connected are checked against revocations (the bound is 5 s)."""

    heartbeat_seconds: float = 4.0
    """How often the gateway says in the database that it lives; silent for 15 s, its clients count as offline."""

    gather_seconds: float = 0.2
    """Who comes and goes is written to the database in batches of this long."""

    ticket_renewal_seconds: float = 120.0
    """How often a live session connection gets a new ticket (tickets live five minutes)."""

    sign_ins_at_once: int = 2
    """Enrolments and sign-ins worked on at the same time; more wait. Hashing a password keeps a database thread busy,
    and there are four of them: sessions must not wait for passwords."""

    establish_attempts: int = 12
    """How many messages of establishing a pair are answered in a minute; one attempt is two. Nobody has proven
    anything before, and each costs a database thread a moment."""
