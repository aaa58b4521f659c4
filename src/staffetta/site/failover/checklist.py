"""Pure: what establishing would have looked at next when a check failed before, each with what it will ask (F1)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from staffetta.site.failover.rules import CLOCKS, Check, CheckName


@dataclass(frozen=True, slots=True)
class Ahead:
    """A check that was not looked at; ``asks`` says what must be so."""

    name: str
    asks: str


_ASKS: Final = {
    CheckName.KEY_SET: "A pre-shared key must be set.",
    CheckName.SAME_KEY: "Both appliances must have the same pre-shared key.",
    CheckName.NOT_SHARED_NAME: "Neither address may be the one that moves between the two.",
    CheckName.NOT_ITSELF: "The two addresses must lead to two appliances.",
    CheckName.REACHED: "An appliance must answer at the new backup's address.",
    CheckName.DIRECT: "Each must see the certificate that the other shows: nothing between them may open TLS.",
    CheckName.SAME_SITE: "Both must have the same shared host name.",
    CheckName.SAME_VERSION: "Both must have the same site version.",
    CheckName.CLOCKS: f"The clocks of the two may be at most {CLOCKS.seconds} s apart.",
    CheckName.CERTIFICATE: "The new backup must hold a certificate for the shared host name.",
    CheckName.FREE: "Neither may be in another failover relationship.",
    CheckName.REVERSE: "The new backup must reach this appliance at the reverse connection details.",
}


def not_looked_at(checks: Iterable[Check]) -> tuple[Ahead, ...]:
    """Return the checks that are not among those that were made, in the order of ``CheckName``."""
    made = {check.name for check in checks}
    return tuple(Ahead(name.value, _ASKS[name]) for name in CheckName if name.value not in made)
