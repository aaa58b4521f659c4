"""The shared IP switch: this appliance's part through its own site door, the peer's by the pair job's commands (F9)."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import httpx

from staffetta.control.site_door import SharedAddress, SharedPhase, SharedState, SiteDoor
from staffetta.site.failover.errors import PeerUnreachable
from staffetta.site.failover.peer import Peer
from staffetta.site.failover.swing.order import Move, Part, Side, moves_of
from staffetta.site.failover.swing.swing import SwingFailed
from staffetta.wire.fields import to_base64url

ASK_SECONDS: Final = 5.0
TIMES_ASKED: Final = 10
_NONCE_BYTES: Final = 32

# The pair knows each other by pair keys; certificates of the web prove nothing here.
_ANY_CERTIFICATE: Final = ssl.create_default_context()
_ANY_CERTIFICATE.check_hostname = False
_ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE

WhoAnswers = Callable[[str, int], str]


@dataclass(frozen=True, slots=True)
class SwingOrder:
    """For which step of which pair job, with which job term, the address goes to ``taker`` (its origin)."""

    job: str
    step: str
    term: int
    role_term: int
    taker: str


class SharedAddressSwing:
    """A ``Swing``. ``own`` is this appliance's side; without a peer that answers, this one claims."""

    def __init__(
        self,
        door: SiteDoor,
        peer: Peer,
        own: Side,
        order: SwingOrder,
        giver_answers: bool = True,
        who: WhoAnswers | None = None,
    ) -> None:
        self._door = door
        self._peer = peer
        self._own = own
        self._order = order
        self._giver_answers = giver_answers
        self._who = who or who_answers

    def prepare(self) -> None:
        """Enabled here? (The peer's base says so itself when it is asked to join.) Then hold and join."""
        self._place()
        self._do(Part.PREPARE)

    def take(self) -> None:
        """New connections go to the taker."""
        self._do(Part.TAKE)

    def give(self) -> None:
        """The giver takes what is queued and lets go."""
        self._do(Part.GIVE)

    def check(self) -> str:
        """Who answers at the shared address, several times over. Raises ``SwingFailed`` if it is another."""
        self._do(Part.CHECK)
        address, port = self._place()
        for _ in range(TIMES_ASKED):
            found = self._who(address, port)
            if found != self._order.taker:
                raise SwingFailed(
                    f"At the shared address {address}:{port} the appliance {found} answers, not {self._order.taker}. "
                    "Look at /appliance > Networking > IP configuration of both."
                )
        return f"The shared address {address}:{port} is answered by {self._order.taker}."

    def _place(self) -> tuple[str, int]:
        shared: SharedAddress = self._door.status().shared
        if shared.address is None or shared.port is None:
            raise SwingFailed("This appliance was made without a shared address; there is none to move.")
        if shared.state is SharedState.DISABLED:
            raise SwingFailed(
                "The shared address is not enabled here. Tick it on /appliance > Networking > IP configuration."
            )
        return shared.address, shared.port

    def _do(self, part: Part) -> None:
        for move in moves_of(part, self._giver_answers):
            if move.side is self._own:
                self._door.shared(move.phase, self._order.role_term, f"pair job {self._order.job}")
            else:
                self._ask_peer(move)

    def _ask_peer(self, move: Move) -> None:
        answer = self._peer.post(
            "command",
            {
                "job": self._order.job,
                "step": self._order.step,
                "term": self._order.term,
                "verb": verb_of(move.phase),
                "args": {"term": self._order.role_term},
            },
        )
        if answer.get("ok") is False:
            raise SwingFailed(str(answer.get("sentence") or f"The peer could not do {move.phase}."))


def verb_of(phase: SharedPhase) -> str:
    """The verb of the pair job's commands for a phase."""
    return f"shared-{phase}"


def who_answers(address: str, port: int) -> str:
    """The origin that whoever answers there says; nothing is decided by it but whether the traffic has moved."""
    host = f"[{address}]" if ":" in address else address
    nonce = to_base64url(secrets.token_bytes(_NONCE_BYTES))
    try:
        answer = httpx.get(
            f"https://{host}:{port}/pair/v1/hello",
            params={"nonce": nonce},
            verify=_ANY_CERTIFICATE,
            timeout=ASK_SECONDS,
        )
        origin = answer.raise_for_status().json()["origin"]
    except httpx.HTTPError as error:
        raise PeerUnreachable(f"Nobody answers at the shared address {host}:{port}: {error}.") from error
    except (ValueError, KeyError, TypeError):
        origin = None
    if not isinstance(origin, str):
        raise SwingFailed(f"What answers at {host}:{port} is no appliance of this pair.")
    return origin
