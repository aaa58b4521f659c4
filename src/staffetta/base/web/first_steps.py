"""What an administrator does first on an appliance, until the site's first password is changed, and how far."""

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from staffetta.control.appliance import ApplianceStatus, Eula, Updates
from staffetta.ui.first_steps import FirstStep, StepState

_STEPS = (
    ("password", _("Set a password of your own"), _("Done at the first sign-in."), None, ""),
    (
        "check",
        _("Check for updates"),
        _("Where no update server can be reached, upload a bundle there under Manual installation."),
        "updates",
        _("Updates"),
    ),
    ("eula", _("Accept the licence agreement"), _("It comes with what is on offer."), "updates", _("Updates")),
    ("site", _("Install the site"), _("It takes about a minute, and you see each step."), "updates", _("Updates")),
    (
        "sign-in",
        _("Open the site and sign in"),
        _(
            "The site has accounts of its own. Sign in there at once as admin with the password “password”: until you "
            "have, anybody who reaches it may be first."
        ),
        None,
        _("Sign in"),
    ),
)


def steps_are_due(status: ApplianceStatus) -> bool:
    """Whether a step is left: until there is a site, and its first account has a password of its own.

    An older site does not say whether it has, and counts as if.
    """
    return status.site_version is None or bool(status.site_first_password)


def first_steps(status: ApplianceStatus, updates: Updates, eula: Eula | None) -> tuple[FirstStep, ...]:
    """The steps, of which exactly one is next; for an appliance where steps are due."""
    installed = status.site_version is not None
    offered = bool(updates.offers)
    accepted = (eula is not None and eula.accepted) or (offered and all(one.eula_accepted for one in updates.offers))
    done = {
        "password": True,
        "check": installed or accepted or offered,
        "eula": installed or accepted,
        "site": installed,
    }
    found, ahead = [], False
    for name, label, more, page, link in _STEPS:
        behind = not ahead and done.get(name, False)
        state = StepState.DONE if behind else StepState.LATER if ahead else StepState.NEXT
        ahead = ahead or not behind
        address = f"{status.own_site_url}/login" if name == "sign-in" and status.own_site_url else ""
        url = reverse(page) if page else address
        if state is not StepState.NEXT:
            url = ""
        found.append(FirstStep(name, state, label, more, url, link, address))
    return tuple(found)
