"""Pure: in which order two appliances move the shared address, so that no connection is refused (F9).

While both listen, new connections go where the group's rule says; A sets it to itself before B joins, B sets it to
itself once it is primary. Only then does A let go. Last A looks who answers: it sees B from outside, as everybody
does, while B would reach its own address without the network. See docs/networking.md.
"""

from dataclasses import dataclass

from staffetta.site.data.roles import Role
from staffetta.site.failover.job_command import Verb
from staffetta.site.failover.job_facts import ApplianceFacts, Do
from staffetta.site.failover.job_states import Side
from staffetta.site.failover.swing.swing import Seen

HELD, RELEASED, ABSENT, DISABLED, UNKNOWN = "held", "released", "absent", "disabled", ""
"""The states of the shared address among the facts; unknown while base does not answer."""


@dataclass(frozen=True, slots=True)
class SharedAddressSwing:
    """A ``Swing``."""

    a: ApplianceFacts
    b: ApplianceFacts

    def ready(self) -> Seen:
        """A holds it, B does not."""
        states = (state_of(self.a), state_of(self.b))
        if states == (HELD, RELEASED):
            return Seen(True, f"{self.a.host} holds the shared address.")
        if set(states) <= {HELD, RELEASED}:
            return Seen(
                False,
                f"It is {states[0]} on {self.a.host} and {states[1]} on {self.b.host}: it follows the roles within "
                "a quarter of a minute.",
                passing=True,
            )
        return Seen(False, f"It is {states[0]} on {self.a.host} and {states[1]} on {self.b.host}.")

    def before(self, term: int) -> tuple[Do, ...]:
        """Both listen; new connections stay with A."""
        a, b = self.a.host, self.b.host
        return (
            _move(Side.A, Verb.SHARED_HOLD, f"New connections stay with {a}, whoever else listens.", term),
            _move(Side.B, Verb.SHARED_JOIN, f"{b} listens at the shared address too.", term),
        )

    def after(self, term: int) -> tuple[Do, ...]:
        """New connections go to B, A lets go, and looks."""
        a, b = self.a.host, self.b.host
        return (
            _move(Side.B, Verb.SHARED_TURN, f"New connections go to {b}.", term),
            _move(Side.A, Verb.SHARED_LEAVE, f"{a} lets go of the shared address.", term),
            _move(Side.B, Verb.SHARED_SETTLE, f"{b} holds the shared address alone.", term),
            Do(
                Side.A,
                Verb.SWING_CHECK,
                f"{a} looks who answers at the shared address.",
                (("origin", self.b.origin),),
            ),
        )

    def moved(self, step: str) -> Seen:
        """B holds it alone, and was seen there."""
        states = (state_of(self.a), state_of(self.b))
        if states != (RELEASED, HELD):
            return Seen(False, f"The shared address is {states[0]} on {self.a.host} and {states[1]} on {self.b.host}.")
        check = self.a.answer(step, Verb.SWING_CHECK)
        if check is None:
            return Seen(False, "Nobody has looked who answers at the shared address.")
        return Seen(check.ok, check.sentence)

    def back(self, step: str, primary: Side) -> Do | None:
        """The backup lets go, then the primary claims: nobody gives in an undo."""
        one, other = (self.a, self.b) if primary is Side.A else (self.b, self.a)
        if one.role is not Role.PRIMARY or UNKNOWN in (state_of(one), state_of(other)):
            return None
        # Base refuses a term below one that it has moved the address for.
        term = max(one.term, *(each.base.shared_term for each in (one, other) if each.base is not None))
        if state_of(other) == HELD:
            return _move(primary.other, Verb.SHARED_RELEASE, f"{other.host} lets go of the shared address.", term)
        joined = any(each.verb == Verb.SHARED_JOIN for each in (*one.answers, *other.answers))
        taken = one.answer(step, Verb.SHARED_CLAIM) is not None
        if state_of(one) == RELEASED or (joined and not taken and state_of(one) == HELD):
            return _move(primary, Verb.SHARED_CLAIM, f"{one.host} takes the shared address.", term)
        return None


def _move(side: Side, verb: Verb, sentence: str, term: int) -> Do:
    return Do(side, verb, sentence, (("term", term),))


def state_of(one: ApplianceFacts) -> str:
    """The state of the shared address on an appliance."""
    return UNKNOWN if one.base is None else one.base.shared
