"""What comes first on a fresh site, of what an account may do, until all but the pair is done or support was given.

A password of one's own is none of the steps: nobody reaches a page before it is set (`ui.signin.middleware`).
"""

from collections.abc import Collection
from typing import Final

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from staffetta.site.accounts.permissions import Allowed
from staffetta.ui.first_steps import FirstStep, StepState

_OPTIONAL: Final = "pair"
_STEPS: Final = (
    (
        "computer",
        Allowed.MODIFY_ALL_JUMP_CLIENTS,
        _("Enrol the first computer"),
        _("Make an installer token, and run the command that comes with it on the computer."),
        "fleet:tokens",
        _("Installer tokens"),
    ),
    (
        "representative",
        Allowed.MANAGE_USERS,
        _("Make an account for a representative"),
        _("Who supports others signs in with an account of their own."),
        "accounts:new-user",
        _("New user"),
    ),
    (
        _OPTIONAL,
        Allowed.MANAGE_FAILOVER,
        _("Make a pair, if you have a second appliance"),
        _("The second one follows this one and can take its place."),
        "failover:pair",
        _("Failover"),
    ),
)


def first_steps(may: Collection[Allowed], done: Collection[str]) -> tuple[FirstStep, ...]:
    """The steps that are left for who ``may`` do them, the first of them next; none when nothing but a pair is.

    ``done`` are the names of those that are behind the site, whoever did them.
    """
    left = [step for step in _STEPS if step[1] in may and step[0] not in done]
    if all(step[0] == _OPTIONAL for step in left):
        return ()
    return tuple(
        FirstStep(name, StepState.LATER if number else StepState.NEXT, label, more, reverse(page), link)
        for number, (name, _allowed, label, more, page, link) in enumerate(left)
    )
