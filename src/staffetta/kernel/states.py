"""State tables: an automaton is one table, advanced by one function that refuses what is not in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from staffetta.kernel.errors import Conflict


class IllegalTransition(Conflict):
    """The table has no transition for this event in this state."""

    code = "illegal-transition"


@dataclass(frozen=True, slots=True)
class StateTable:
    """One automaton: ``transitions`` maps (state, event) to the next state; ``finals`` are left by nothing."""

    name: str
    initial: str
    transitions: Mapping[tuple[str, str], str]
    finals: frozenset[str] = field(default_factory=frozenset)

    @property
    def states(self) -> frozenset[str]:
        """Every state the table knows."""
        ends = {state for (state, _), after in self.transitions.items() for state in (state, after)}
        return frozenset(ends | {self.initial} | self.finals)

    @property
    def events(self) -> frozenset[str]:
        """Every event the table knows."""
        return frozenset(event for _, event in self.transitions)

    def check(self) -> list[str]:
        """Return what is wrong with the table itself: unreachable states, dead ends, finals that are left."""
        reached = {self.initial}
        grew = True
        while grew:
            after = {target for (state, _), target in self.transitions.items() if state in reached}
            grew = not after <= reached
            reached |= after
        leaves = {state for state, _ in self.transitions}
        problems = [f"{self.name}: {state} cannot be reached" for state in sorted(self.states - reached)]
        problems += [
            f"{self.name}: {state} is a dead end but not final" for state in sorted(self.states - leaves - self.finals)
        ]
        problems += [f"{self.name}: {state} is final but left" for state in sorted(self.finals & leaves)]
        return problems


def advance(table: StateTable, state: str, event: str) -> str:
    """Return the state after ``event``; raise ``IllegalTransition`` when the table does not allow it."""
    try:
        return table.transitions[(state, event)]
    except KeyError:
        raise IllegalTransition(f"{table.name}: {event!s} is not possible in state {state!s}.") from None
