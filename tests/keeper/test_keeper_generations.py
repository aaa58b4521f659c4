"""The generation table, and that no order of events breaks what it promises."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from staffetta.keeper import Refusal
from staffetta.keeper.actions import Answer, Note, Retire, Signal, Spawn, Tell
from staffetta.keeper.generation import Leaving
from staffetta.keeper.generations import Limits, Program
from staffetta.keeper.states import FINALS, TABLE, Event, State
from staffetta.kernel.states import StateTable

PROCESSES = ("gateway", "worker")


def test_the_table_is_complete_and_reachable() -> None:
    table = StateTable("generation", State.STARTING, TABLE, FINALS)
    assert table.check() == []
    assert table.states == set(State)
    assert table.events == set(Event)


class Bench:
    """A program driven by hand: actions are kept, time is a number."""

    def __init__(self, **limits: float) -> None:
        self.program = Program("site", PROCESSES, Limits(**limits))
        self.now = 1000.0
        self.done: list[object] = []

    def __getattr__(self, name: str):
        def event(*args: object, **more: object) -> list[object]:
            getattr(self.program, name)(*args, now=self.now, **more)
            return self.act()

        return event

    def act(self) -> list[object]:
        actions = self.program.take_actions()
        self.done += actions
        return [one for one in actions if not isinstance(one, Note)]

    def wait(self, seconds: float) -> list[object]:
        """Let time pass, from one deadline to the next."""
        until, actions = self.now + seconds, []
        while (due := self.program.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            actions += self.tick()
        self.now = until
        return actions + self.tick()

    def all_say(self, generation: str, word: str) -> list[object]:
        return [one for process in PROCESSES for one in self.said(generation, process, word)]

    def bring_up(self, generation: str, *, confirm: bool = True) -> None:
        self.start(generation, "1.0")
        self.all_say(generation, "ready")
        old = self.program.active
        self.activate(generation, ticket=f"ticket-{generation}")
        if old:
            self.all_say(old.id, "deactivated")
        self.all_say(generation, "activated")
        if confirm:
            self.confirm(generation)

    def state(self, generation: str) -> State:
        return self.program.generations[generation].state


def tell(generation: str, do: str, seconds: float | None = None) -> list[Tell]:
    return [Tell(generation, process, do, seconds) for process in PROCESSES]


def test_a_switch_step_by_step() -> None:
    bench = Bench()
    assert bench.start("a", "1.0") == [Spawn("a", "gateway"), Spawn("a", "worker")]
    assert bench.said("a", "gateway", "ready") == []
    assert bench.said("a", "worker", "ready") == []
    assert bench.activate("a", ticket=1) == tell("a", "activate")
    assert bench.all_say("a", "activated") == [Answer(1, None)]
    bench.confirm("a")
    bench.start("b", "1.1")
    bench.all_say("b", "ready")
    assert bench.activate("b", ticket=2) == tell("a", "deactivate")
    assert bench.said("a", "worker", "deactivated") == []
    assert bench.said("a", "gateway", "deactivated") == tell("b", "activate")
    assert bench.all_say("b", "activated") == [Answer(2, None)]
    assert (bench.state("a"), bench.state("b")) == (State.RESERVE, State.ACTIVE)
    assert bench.confirm("b") == tell("a", "drain", 600.0)
    assert bench.said("a", "gateway", "drained") == []
    assert bench.said("a", "worker", "drained") == [Signal("a", one, False) for one in PROCESSES]
    assert bench.died("a", "gateway", "left") == []
    assert bench.died("a", "worker", "left") == [Retire("a")]
    assert bench.state("a") is State.GONE
    assert bench.confirm("b") == []  # again changes nothing


def test_one_switch_at_a_time_and_nothing_is_confirmed_early() -> None:
    bench = Bench()
    bench.bring_up("a")
    for name in "bc":
        bench.start(name, "1.1")
    assert bench.said("b", "gateway", "ready") == []
    with pytest.raises(Refusal, match="b is starting"):
        bench.activate("b", ticket=1)
    for name in "bc":
        bench.all_say(name, "ready")
    bench.activate("b", ticket=1)
    for refused in (lambda: bench.activate("c", ticket=2), bench.go_back):
        with pytest.raises(Refusal, match="between two"):
            refused()
    with pytest.raises(Refusal, match="not active"):
        bench.confirm("b")
    bench.all_say("a", "deactivated")
    bench.said("b", "gateway", "activated")
    with pytest.raises(Refusal, match="not yet taken"):
        bench.confirm("b")
    bench.said("b", "worker", "activated")
    with pytest.raises(Refusal, match="confirm or go back"):
        bench.activate("c", ticket=2)
    with pytest.raises(Refusal, match="serves nobody"):
        bench.stop("a")
    bench.confirm("b")


def test_a_process_being_started_again_gets_the_sockets_when_it_is_ready_and_not_before() -> None:
    bench = Bench()
    bench.bring_up("a")
    bench.bring_up("b", confirm=False)
    bench.died("a", "worker", "crashed")
    assert bench.tick() == [Spawn("a", "worker")]
    bench.go_back()
    given = bench.all_say("b", "deactivated")
    assert [one for one in given if isinstance(one, Tell) and one.do == "activate"] == [
        Tell("a", "gateway", "activate")
    ]
    assert bench.said("a", "worker", "ready") == [Tell("a", "worker", "activate")]


def test_an_old_one_that_does_not_drain_is_ended_after_its_time() -> None:
    bench = Bench()
    bench.bring_up("a")
    bench.bring_up("b")
    assert bench.wait(604.9) == []
    assert bench.wait(0.2) == [Signal("a", one, False) for one in PROCESSES]
    assert bench.wait(5) == [Signal("a", one, True) for one in PROCESSES]


def test_not_confirmed_goes_back_with_a_farewell() -> None:
    bench = Bench()
    bench.bring_up("a")
    bench.bring_up("b", confirm=False)
    assert bench.wait(59.9) == []
    assert bench.wait(0.2) == tell("b", "deactivate")
    assert bench.all_say("b", "deactivated") == tell("a", "activate") + tell("b", "drain", 10.0)
    assert bench.program.generations["b"].failure == "not confirmed within 60 s"
    with pytest.raises(Refusal, match="no unconfirmed"):
        bench.go_back()


def test_a_failed_one_that_is_gone_is_not_ended_again() -> None:
    bench = Bench()
    bench.bring_up("a")
    bench.bring_up("b", confirm=False)
    bench.go_back()
    bench.all_say("b", "deactivated")
    for process in PROCESSES:
        bench.died("b", process, "exited")
    assert bench.done.count(Retire("b")) == 1
    bench.stop("b")
    assert bench.done.count(Retire("b")) == 1


def test_a_failed_one_that_does_not_stop_accepting_is_killed() -> None:
    bench = Bench()
    bench.bring_up("a")
    bench.bring_up("b", confirm=False)
    assert bench.go_back() == tell("b", "deactivate")
    bench.said("b", "worker", "deactivated")
    assert bench.wait(2) == [*tell("a", "activate"), Signal("b", "gateway", True), *tell("b", "drain", 10.0)]


def test_a_standby_that_dies_during_the_switch_gives_the_sockets_back() -> None:
    bench = Bench()
    bench.bring_up("a")
    bench.start("b", "1.1")
    bench.all_say("b", "ready")
    bench.activate("b", ticket=7)
    actions = bench.died("b", "worker", "was ended by SIGSEGV")
    assert next(one for one in actions if isinstance(one, Answer)).refusal.code == "failed"
    assert actions[-2:] == tell("a", "activate")
    assert bench.state("a") is State.ACTIVE
    assert not any(isinstance(one, Tell) and one.generation == "b" for one in bench.done)


def test_restarts_slow_down_and_are_counted() -> None:
    bench = Bench()
    bench.bring_up("a")
    pauses = []
    for _ in range(9):
        bench.died("a", "worker", "crashed")
        began = bench.now
        while not any(isinstance(one, Spawn) for one in bench.wait(0.05)):
            pass
        pauses.append(round(bench.now - began - 0.05, 1))
        assert bench.said("a", "worker", "ready") == [Tell("a", "worker", "activate")]
    assert pauses == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0], abs=0.11)
    assert bench.program.generations["a"].processes["worker"].restarts == 9


def test_a_current_that_comes_up_late_does_not_disturb_the_one_in_its_place() -> None:
    bench = Bench()
    bench.start("boot", "1.0", confirmed=True)
    bench.bring_up("new", confirm=False)
    bench.all_say("boot", "ready")
    assert bench.state("boot") is State.STANDBY
    assert bench.go_back() == tell("new", "deactivate")  # boot is what can be gone back to
    bench.all_say("new", "deactivated")
    assert bench.state("boot") is State.ACTIVE
    bench.all_say("boot", "activated")
    bench.bring_up("newer")
    assert bench.state("boot") is State.DRAINING


def test_a_current_that_never_came_up_leaves_when_another_is_confirmed() -> None:
    bench = Bench()
    bench.start("boot", "1.0", confirmed=True)
    bench.bring_up("new")
    assert bench.state("boot") is State.DRAINING


def test_too_many_generations_are_refused_and_old_ones_forgotten() -> None:
    bench = Bench(generations=3, remembered=2)
    for name in "abc":
        bench.start(name, "1.0")
    with pytest.raises(Refusal, match="stop one first"):
        bench.start("d", "1.0")
    for name in "abc":
        for process in PROCESSES:
            bench.died(name, process, "crashed")
    assert list(bench.program.generations) == ["b", "c"]


class AnyOrder(RuleBasedStateMachine):
    """Events in any order, from processes that behave in any way; the promises of `generations` are kept."""

    @initialize()
    def begin(self) -> None:
        self.program = Program("site", PROCESSES, Limits())
        self.now = 0.0
        self.names = (f"g{number}" for number in itertools.count())
        self.alive: set[tuple[str, str]] = set()
        self.ready: set[tuple[str, str]] = set()
        self.was_standby: set[str] = set()
        self.told_to_leave: set[str] = set()
        self.was_active: set[str] = set()
        self.tickets: set[object] = set()
        self.retired: set[str] = set()

    def act(self) -> None:
        for generation in self.program.generations.values():
            whole = generation.state in (State.STANDBY, State.ACTIVE, State.RESERVE)
            if whole and generation.id not in self.was_standby:
                assert all((generation.id, process) in self.ready for process in PROCESSES), "not all were ready"
                self.was_standby.add(generation.id)
            if generation.state is State.ACTIVE:
                self.was_active.add(generation.id)
        for action in self.program.take_actions():
            match action:
                case Spawn(generation, process):
                    assert (generation, process) not in self.alive, "started twice"
                    assert generation not in self.retired
                    self.alive.add((generation, process))
                case Tell(generation, process, "activate" | "sockets"):
                    assert (generation, process) in self.ready, "sockets for a process that is not ready"
                    assert generation in self.was_standby, "sockets for a generation that was never whole"
                case Tell(generation, _, "drain"):
                    self.check_leaving(generation)
                case Signal(generation, _, kill):
                    if not kill:
                        self.check_leaving(generation)
                case Answer(ticket, _):
                    assert ticket in self.tickets, "answered twice"
                    self.tickets.discard(ticket)
                case Retire(generation):
                    assert not any(one == generation for one, _ in self.alive), "retired while alive"
                    assert generation not in self.retired
                    self.retired.add(generation)

    def check_leaving(self, name: str) -> None:
        """Whatever once had the sockets and did not fail leaves only after another was confirmed in its place."""
        generation = self.program.generations[name]
        if name not in self.told_to_leave and name in self.was_active and generation.state is not State.FAILED:
            active = self.program.active
            assert active is not None
            assert active.id != name
            assert active.confirmed
        self.told_to_leave.add(name)

    def pick(self, data: st.DataObject) -> str | None:
        names = list(self.program.generations)
        return data.draw(st.sampled_from(names)) if names else None

    @rule(confirmed=st.booleans())
    def start(self, confirmed: bool) -> None:
        # Keeper starts `current` as confirmed only when it starts itself: nothing else is there then.
        name = next(self.names)
        try:
            self.program.start(name, "1", self.now, confirmed=confirmed and not self.program.generations)
        except Refusal:
            return
        self.act()

    @rule(data=st.data(), verb=st.sampled_from(["activate", "confirm", "stop", "go_back"]))
    def ask(self, data: st.DataObject, verb: str) -> None:
        name = self.pick(data)
        if name is None:
            return
        try:
            if verb == "activate":
                ticket = object()
                self.tickets.add(ticket)
                try:
                    self.program.activate(name, ticket, self.now)
                except Refusal:
                    self.tickets.discard(ticket)
                    raise
            elif verb == "go_back":
                self.program.go_back(self.now)
            else:
                getattr(self.program, verb)(name, self.now)
        except Refusal:
            assert not self.program.actions, "refused, and done all the same"
            return
        self.act()

    @rule(data=st.data(), word=st.sampled_from(["ready", "activated", "deactivated", "drained", "failed"]))
    def say(self, data: st.DataObject, word: str) -> None:
        if not self.alive:
            return
        generation, process = data.draw(st.sampled_from(sorted(self.alive)))
        if word == "ready":
            self.ready.add((generation, process))
        self.program.said(generation, process, word, self.now, "reason")
        self.act()

    @rule(data=st.data())
    def all_ready(self, data: st.DataObject) -> None:
        name = self.pick(data)
        for generation, process in sorted(self.alive):
            if generation == name:
                self.ready.add((generation, process))
                self.program.said(generation, process, "ready", self.now)
                self.act()

    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        if not self.alive:
            return
        generation, process = data.draw(st.sampled_from(sorted(self.alive)))
        self.alive.discard((generation, process))
        self.ready.discard((generation, process))
        self.program.died(generation, process, "died", self.now)
        self.act()

    @rule(seconds=st.sampled_from([0.05, 1.0, 3.0, 6.0, 61.0, 700.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.program.tick(self.now)
        self.act()

    @invariant()
    def one_active(self) -> None:
        active = [one for one in self.program.generations.values() if one.state is State.ACTIVE]
        assert len(active) <= 1

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """Whatever is not settled has a deadline or a process that is waited for: nothing hangs for ever."""
        due = self.program.next_deadline()
        for one in self.program.generations.values():
            if one.leaving and one.alive:
                assert one.deadline is not None
            if one.state is State.ACTIVE and not one.confirmed:
                assert one.deadline is not None
            if one.state is State.DRAINING:
                assert one.leaving in (Leaving.DRAIN, Leaving.TERM)
            for process in one.processes.values():
                restartable = one.state in (State.STARTING, State.STANDBY, State.ACTIVE, State.RESERVE)
                if restartable and not process.alive:
                    assert process.restart_at is not None, "a process that nobody starts again"
                if process.alive and not process.ready and restartable:
                    assert process.overdue_at is not None
        assert due is None or due > self.now - 1000

    @invariant()
    def a_reserve_is_kept_while_needed(self) -> None:
        """While an unconfirmed generation is active there is one to go back to, if there ever was."""
        states = [one.state for one in self.program.generations.values()]
        assert states.count(State.RESERVE) <= 1
        for one in self.program.generations.values():
            assert one.confirmed or one.state is not State.RESERVE, "nobody can go back to what was never trusted"
        if State.RESERVE in states:
            active = self.program.active
            assert self.program.handover is not None or (active is not None and not active.confirmed)


AnyOrder.TestCase.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
TestAnyOrder = pytest.mark.req("U10")(AnyOrder.TestCase)
