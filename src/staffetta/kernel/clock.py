"""Time as the product writes and trusts it: aware UTC datetimes, one text form, never behind a trusted floor."""

from datetime import UTC, datetime

from staffetta.kernel.errors import InvalidInput


def utc_now() -> datetime:
    """Return the system's time as an aware UTC datetime."""
    return datetime.now(UTC)


def format_time(moment: datetime) -> str:
    """Return RFC 3339 text in UTC with microseconds, as in ``2026-11-24T05:48:15.123456Z``."""
    if moment.tzinfo is None:
        raise InvalidInput("A time without a zone cannot be written; give it in UTC.")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def spoken_time(moment: datetime) -> str:
    """Return a time as sentences for people write it, to the minute: ``2026-11-24 05:48 UTC``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def parse_time(text: str) -> datetime:
    """Read RFC 3339 text with a zone into an aware UTC datetime; anything else raises ``InvalidInput``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a time; write it like 2026-11-24T05:48:15Z.") from None
    if moment.tzinfo is None:
        raise InvalidInput(f"{text!r} has no time zone; write it like 2026-11-24T05:48:15Z.")
    return moment.astimezone(UTC)


def trusted_now(system: datetime, floor: datetime) -> datetime:
    """Return the time to judge by: the system's, but never behind ``floor``.

    The floor is the later of the build's time and the last verified statement of the update server (U6, U14): a
    clock set back must not make expired metadata valid again.
    """
    return max(system, floor)
