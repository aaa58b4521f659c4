"""The swing as a whole: the order in which the shared address is moved, over a model and over two real bases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.test_shared_address_live import LivePair, ask, state, tell_role, wait_until
from staffetta.control.local import ApplianceRefused
from staffetta.control.site_door import SharedPhase, SharedState, SiteDoor
from staffetta.site.data.roles import Role
from staffetta.site.failover.job_errors import SwingFailed
from staffetta.site.failover.job_facts import Answered, ApplianceFacts, BaseFacts, Do
from staffetta.site.failover.job_states import Side
from staffetta.site.failover.swing import seeing
from staffetta.site.failover.swing.choice import NothingToMove, swing_of
from staffetta.site.failover.swing.shared_address import SharedAddressSwing
from staffetta.wire.pair import Endpoint


def appliance(side: Side, shared: str, role: Role = Role.BACKUP, origin: str = "") -> ApplianceFacts:
    moment = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    return ApplianceFacts(origin or side.value, f"host-{side}", role, 1, "1.0", moment, BaseFacts("1.0", "1.0", shared))


A, B = appliance(Side.A, "held", Role.PRIMARY), appliance(Side.B, "released")
MOVES = (*SharedAddressSwing(A, B).before(2), *SharedAddressSwing(A, B).after(2))


@dataclass
class Group:
    """A plain model of the kernel's group: who listens, and who gets new connections."""

    listening: set[Side] = field(default_factory=lambda: {Side.A})
    gets: Side = Side.A

    def do(self, move: Do) -> None:
        match move.verb.removeprefix("shared-"):
            case SharedPhase.HOLD if move.side in self.listening:
                self.gets = move.side
            case SharedPhase.JOIN:
                self.listening.add(move.side)
            case SharedPhase.TURN:
                self.listening.add(move.side)
                self.gets = move.side
            case SharedPhase.LEAVE:
                self.listening.discard(move.side)
            case SharedPhase.SETTLE:
                assert move.side in self.listening
            case "swing-check":
                assert dict(move.arguments) == {"origin": self.gets.value}
                assert self.listening == {self.gets}


@pytest.mark.req("F9")
@given(st.lists(st.integers(0, len(MOVES) - 1), max_size=3))
def test_no_connection_is_without_a_listener_and_none_goes_where_nobody_listens(broken: list[int]) -> None:
    """Also if the whole order is begun anew after any of its moves, as another attempt of the step does."""
    group = Group()
    swing = SharedAddressSwing(A, B)
    for end in (*broken, len(MOVES) - 1):
        for move in MOVES[: end + 1]:
            group.do(move)
            assert group.gets in group.listening, move
    assert (group.gets, group.listening) == (Side.B, {Side.B})
    only_before = Group()
    for move in swing.before(2):
        only_before.do(move)
        assert only_before.gets is Side.A, "before the roles change no traffic moves"


@pytest.mark.req("F9")
def test_the_facts_say_which_swing_it_is() -> None:
    for a, b in itertools.product(("absent", "disabled", "released", "held"), repeat=2):
        none = {a, b} <= {"absent", "disabled"}
        swing = swing_of(replace(A, base=BaseFacts("", "", a)), replace(B, base=BaseFacts("", "", b)))
        assert isinstance(swing, NothingToMove if none else SharedAddressSwing), (a, b)
        assert swing.ready().ok is (none or (a, b) == ("held", "released"))
        assert swing.moved("swing.1").ok is none  # nobody has looked
        assert bool(swing.before(2) or swing.after(2)) is not none
    assert not swing_of(A, replace(B, base=None)).ready().ok


@pytest.mark.req("F9")
def test_what_was_seen_is_what_came_of_it() -> None:
    a, b = appliance(Side.A, "released"), appliance(Side.B, "held", Role.PRIMARY)
    for ok in (True, False):
        seen = (Answered("swing.2", "swing-check", ok, "B answers."),)
        swing = SharedAddressSwing(replace(a, answers=seen), b)
        assert (swing.moved("swing.2").ok, swing.moved("swing.2").sentence) == (ok, "B answers.")
        assert not swing.moved("swing.3").ok, "what another attempt saw does not count"
    assert "held on host-A" in SharedAddressSwing(A, b).moved("swing.2").sentence


@pytest.mark.req("F9")
def test_an_undo_asks_nothing_while_the_primary_has_it_or_a_base_is_away() -> None:
    assert SharedAddressSwing(A, B).back("undo.1", Side.A) is None
    assert SharedAddressSwing(A, replace(B, base=None)).back("undo.1", Side.A) is None
    assert SharedAddressSwing(replace(A, role=Role.ALONE), B).back("undo.1", Side.A) is None
    other_way = SharedAddressSwing(A, replace(B, role=Role.PRIMARY)).back("undo.1", Side.B)
    assert other_way is not None and (other_way.side, other_way.verb) == (Side.A, "shared-release")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[LivePair]:
    made = LivePair(tmp_path / "vendor")
    try:
        yield made
    finally:
        made.close()


@dataclass
class Doors:
    """Executes moves by the real doors, as the job's effects do; ``turned`` lets A and B change places."""

    one: SiteDoor
    two: SiteDoor
    place: Endpoint
    turned: bool = False

    def do(self, move: Do) -> str:
        door = self.one if (move.side is Side.A) is not self.turned else self.two
        arguments = dict(move.arguments)
        if move.verb == "swing-check":
            return seeing.check(self.place, str(arguments["origin"]))
        return door.shared(SharedPhase(move.verb.removeprefix("shared-")), int(arguments["term"]), "pair job").state


@pytest.mark.live
@pytest.mark.timeout(240)
@pytest.mark.req("F9")
def test_the_swing_over_two_real_bases_there_and_back(pair: LivePair) -> None:
    first, second = pair.sides
    names = [f"127.0.83.{number}:{pair.port}" for number in (1, 2)]
    tell_role(first, "primary", 1)
    tell_role(second, "backup", 1)
    for side in pair.sides:
        side.start()
    wait_until(lambda: state(first) is SharedState.HELD and state(second) is not None, 60, "both are there")
    wait_until(lambda: ask(pair.port), 20, "an answer")
    place = Endpoint("127.0.83.3", pair.port)
    with SiteDoor(first.paths.site_door_socket) as one, SiteDoor(second.paths.site_door_socket) as two:
        doors = Doors(one, two, place)
        swing = SharedAddressSwing(replace(A, origin=names[0]), replace(B, origin=names[1]))
        for move in swing.before(2):
            doors.do(move)
        assert ask(pair.port) == names[0]
        for _ in range(2):  # done again it changes nothing
            told = [doors.do(move) for move in (*swing.before(2), *swing.after(2))]
            assert told[-1] == f"The shared address {place} is answered by {names[1]}, 10 times of 10."
            assert ask(pair.port) == names[1]
        with pytest.raises(SwingFailed, match=f"the appliance {names[1]} answers, not {names[0]}"):
            seeing.check(place, names[0])
        # Back, the second being A now; a move of the former term comes too late.
        doors.turned = True
        back = SharedAddressSwing(replace(A, origin=names[1]), replace(B, origin=names[0]))
        for move in (*back.before(3), *back.after(3)):
            doors.do(move)
        assert ask(pair.port) == names[0]
        with pytest.raises(ApplianceRefused, match="is over"):
            doors.do(back.before(2)[0])
        # An undo: the second has joined, and everything goes back to the first.
        doors.turned = False
        for move in swing.before(4):
            doors.do(move)
        undo = undoing(swing, doors)
        assert [(move.side, move.verb) for move in undo] == [(Side.B, "shared-release"), (Side.A, "shared-claim")]
        assert (one.status().shared.state, two.status().shared.state) == (SharedState.HELD, SharedState.RELEASED)
        assert seeing.check(place, names[0])


def undoing(swing: SharedAddressSwing, doors: Doors) -> list[Do]:
    """Do what the undo of a swing asks, from fresh facts each time, until it asks for nothing more."""
    done: list[Do] = []
    answers: tuple[Answered, ...] = (Answered("swing.1", "shared-join", True, ""),)
    for _ in range(4):
        a, b = (
            replace(facts, answers=answers, base=BaseFacts("", "", found.state.value, shared_term=found.term))
            for facts, found in ((swing.a, doors.one.status().shared), (swing.b, doors.two.status().shared))
        )
        move = SharedAddressSwing(a, b).back("undo.1", Side.A)
        if move is None:
            return done
        doors.do(move)
        done.append(move)
        answers += (Answered("undo.1", move.verb, True, ""),)
    raise AssertionError(done)


def test_nobody_at_the_shared_address_is_told() -> None:
    with pytest.raises(SwingFailed, match=r"Nobody answers at the shared address: 127\.0\.83\.9:9 cannot be reached"):
        seeing.check(Endpoint("127.0.83.9", 9), "B")


def test_one_other_answer_among_ten_is_enough_to_say_so() -> None:
    answers = iter(["B"] * 9 + ["A"])
    with pytest.raises(SwingFailed, match=r"the appliance A answers, not B \(question 10 of 10\)"):
        seeing.check(Endpoint("127.0.83.9", 9), "B", lambda _: next(answers))
