"""The order in which the shared address is moved, and the switch as one appliance leads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from base.test_shared_address_live import LivePair, ask, state, tell_role, wait_until
from staffetta.control.local import ApplianceRefused
from staffetta.control.site_door import SharedPhase, SharedState, SiteDoor
from staffetta.site.failover.errors import PeerUnreachable
from staffetta.site.failover.swing.order import Part, Side, moves, moves_of
from staffetta.site.failover.swing.shared_address import SharedAddressSwing, SwingOrder, who_answers
from staffetta.site.failover.swing.swing import SwingFailed, swing_over


@pytest.mark.req("F9")
def test_no_connection_is_without_a_listener_and_none_goes_where_nobody_listens() -> None:
    """Follow who listens and who gets new connections through the order: a plain model of the kernel's group."""
    listening, gets = {Side.GIVER}, Side.GIVER
    seen = []
    for move in moves(giver_answers=True):
        match move.phase:
            case SharedPhase.HOLD:
                gets = move.side
            case SharedPhase.JOIN:
                listening.add(move.side)
            case SharedPhase.TURN:
                gets = move.side
            case SharedPhase.LEAVE:
                listening.discard(move.side)
        assert gets in listening, move
        seen.append((move.part, gets, frozenset(listening)))
    assert gets is Side.TAKER
    assert listening == {Side.TAKER}
    assert all(gets is Side.GIVER for part, gets, _ in seen if part is Part.PREPARE), "preparing moves nothing"
    assert [move.phase for move in moves(giver_answers=False)] == [SharedPhase.CLAIM]
    assert all(move.side is Side.TAKER for move in moves(giver_answers=False)), "a dead giver is asked nothing"
    for answers in (True, False):
        assert tuple(move for part in Part for move in moves_of(part, answers)) == moves(answers)


@dataclass
class Across:
    """The peer's commands, executed by its own site door as its site does it; what was asked is noted."""

    door: SiteDoor
    origin: str
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    refuses: bool = False

    def get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
        raise AssertionError(path)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        assert path == "command"
        self.asked.append(body)
        if self.refuses:
            return {"state": "done", "ok": False, "sentence": "Base is moving."}
        phase = SharedPhase(str(body["verb"]).removeprefix("shared-"))
        self.door.shared(phase, body["args"]["term"], f"pair job {body['job']}")
        return {"state": "done", "ok": True, "sentence": "", "value": ""}

    def stream(self, path: str, start: int) -> Iterator[bytes]:
        raise AssertionError(path)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[LivePair]:
    made = LivePair(tmp_path / "vendor")
    try:
        yield made
    finally:
        made.close()


@pytest.mark.live
@pytest.mark.timeout(240)
@pytest.mark.req("F9")
def test_the_switch_over_two_real_bases_there_and_back_led_by_either(pair: LivePair) -> None:
    first, second = pair.sides
    names = [f"127.0.83.{number}:{pair.port}" for number in (1, 2)]
    tell_role(first, "primary", 1)
    tell_role(second, "backup", 1)
    for side in pair.sides:
        side.start()
    wait_until(lambda: state(first) is SharedState.HELD and state(second) is not None, 60, "both are there")
    wait_until(lambda: ask(pair.port), 20, "an answer")
    with SiteDoor(first.paths.site_door_socket) as one, SiteDoor(second.paths.site_door_socket) as two:
        across = Across(two, names[1])
        order = SwingOrder("pair-1", "swing", 4, 2, taker=names[1])
        swing = SharedAddressSwing(one, across, Side.GIVER, order)
        swing.prepare()
        assert ask(pair.port) == names[0]
        assert swing_over(swing) == f"The shared address 127.0.83.3:{pair.port} is answered by {names[1]}."
        assert ask(pair.port) == names[1]
        assert swing_over(swing), "done again it changes nothing"
        assert {(body["job"], body["step"], body["term"], body["args"]["term"]) for body in across.asked} == {
            ("pair-1", "swing", 4, 2)
        }
        # Back, led by the appliance that takes it; its peer refuses first.
        back = SwingOrder("pair-2", "swing", 5, 3, taker=names[0])
        across = Across(two, names[1], refuses=True)
        with pytest.raises(SwingFailed, match="Base is moving"):
            swing_over(SharedAddressSwing(one, across, Side.TAKER, back))
        assert ask(pair.port) == names[1]
        across.refuses = False
        swing_over(SharedAddressSwing(one, across, Side.TAKER, back))
        assert ask(pair.port) == names[0]
        # The giver is dead: it is asked nothing. An order of a former term is refused by base.
        across = Across(two, names[1])
        alone = SwingOrder("pair-3", "swing", 6, 4, taker=names[1])
        swing_over(SharedAddressSwing(two, Across(one, names[0]), Side.TAKER, alone, giver_answers=False))
        with pytest.raises(ApplianceRefused, match="is over"):
            SharedAddressSwing(two, across, Side.GIVER, back).prepare()
        wrong = SwingOrder("pair-4", "swing", 7, 4, taker="nobody")
        with pytest.raises(SwingFailed, match="not nobody"):
            SharedAddressSwing(two, across, Side.TAKER, wrong, giver_answers=False).check()


def test_nobody_at_the_shared_address_is_told() -> None:
    with pytest.raises(PeerUnreachable, match="Nobody answers"):
        who_answers("127.0.83.9", 9)
