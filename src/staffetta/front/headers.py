"""Which headers a door adds, drops and believes. Pure: no request or response objects, only names and values."""

from collections.abc import Iterable
from typing import Final

HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110 7.6.1: these speak of one connection and are not passed on."""

_CLAIMED_BY_OUTSIDE: Final = frozenset({"forwarded", "x-real-ip", "x-client-ip", "true-client-ip"})
_SET_BY_SERVER: Final = frozenset({"server", "date"})

SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
}
"""Set on every answer that does not set them itself."""

STRICT_TRANSPORT: Final = "max-age=31536000"
"""Only sent with a certificate that somebody issued: with a self-signed one it would lock a browser's user out of
the page's "proceed" for a year, and browsers ignore it there anyway (RFC 6797 8.1)."""


def passed_to_pages(received: Iterable[tuple[str, str]], *, peer: str, host: str) -> list[tuple[str, str]]:
    """Return the request headers for the local web process: connection headers and everything that claims to speak
    of an earlier hop dropped, our own ``X-Forwarded-*`` added."""
    pairs = list(received)
    dropped = HOP_BY_HOP | _named_by_connection(pairs) | {"expect"}
    kept = [
        (name, value)
        for name, value in pairs
        if (lower := name.lower()) not in dropped
        and not lower.startswith("x-forwarded-")
        and lower not in _CLAIMED_BY_OUTSIDE
    ]
    return [
        *kept,
        ("X-Forwarded-For", peer),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", host),
    ]


def passed_to_client(received: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the response headers of the local web process that go out to the client."""
    pairs = list(received)
    dropped = HOP_BY_HOP | _named_by_connection(pairs) | _SET_BY_SERVER
    return [(name, value) for name, value in pairs if name.lower() not in dropped]


def _named_by_connection(pairs: list[tuple[str, str]]) -> set[str]:
    return {
        option.strip().lower()
        for name, value in pairs
        if name.lower() == "connection"
        for option in value.split(",")
        if option.strip()
    }
