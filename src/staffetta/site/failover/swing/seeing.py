"""Who has the traffic, asked where everybody asks: at the shared address, several times over, on new connections."""

import contextlib
import secrets
from collections.abc import Callable
from typing import Final

from staffetta.site.failover.errors import PeerUnreachable
from staffetta.site.failover.job_errors import SwingFailed
from staffetta.site.failover.reaching import Limits, Reached
from staffetta.wire.fields import to_base64url
from staffetta.wire.identity import NONCE_BYTES
from staffetta.wire.pair import Endpoint

TIMES_ASKED: Final = 10
_LIMITS: Final = Limits(connect=4.0, silence=4.0, whole=5.0)


def check(place: Endpoint, origin: str, who: Callable[[Endpoint], str] | None = None) -> str:
    """Say that the appliance ``origin`` answers there, every time. Raises ``SwingFailed`` when it does not."""
    for number in range(1, TIMES_ASKED + 1):
        found = (who or who_answers)(place)
        if found != origin:
            raise SwingFailed(
                f"At the shared address {place} the appliance {found} answers, not {origin} (question {number} of "
                f"{TIMES_ASKED}). Look at /appliance > Networking > IP configuration of both."
            )
    return f"The shared address {place} is answered by {origin}, {TIMES_ASKED} times of {TIMES_ASKED}."


def who_answers(place: Endpoint) -> str:
    """The origin that whoever answers there says; it is not proven: nothing is decided by it but where traffic goes."""
    nonce = to_base64url(secrets.token_bytes(NONCE_BYTES))
    try:
        with contextlib.closing(Reached(place, _LIMITS)) as reached:
            answer = reached.ask("GET", f"hello?nonce={nonce}")
    except PeerUnreachable as error:
        raise SwingFailed(f"Nobody answers at the shared address: {error.message}") from None
    origin = answer.body.get("origin")
    if not answer.ok or not isinstance(origin, str):
        raise SwingFailed(f"What answers at the shared address {place} is no appliance of this pair.")
    return origin
