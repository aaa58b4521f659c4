"""First steps as both faces show them (`ui/first_steps.html`): what to do, how far it is, and where it is done."""

from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise


class StepState(StrEnum):
    """Whether a step is behind the administrator, is the next one, or comes later."""

    DONE = "done"
    NEXT = "next"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class FirstStep:
    """One step: what to do, why or how; ``url`` leads to where it is done, ``link`` is the name of that page.

    ``address`` is one to be read, behind ``more``.
    """

    name: str
    state: StepState
    label: str | Promise
    more: str | Promise
    url: str = ""
    link: str | Promise = ""
    address: str = ""
