"""The forms of the fleet: an installer token, and how many clients upgrade at a time."""

from django import forms
from django.utils.translation import gettext_lazy as _

from staffetta.site.fleet.enrolling import MOST_HOURS, MOST_USES
from staffetta.site.fleet.updates import HIGHEST_LIMIT


class TokenForm(forms.Form):
    """How many computers a token lets in, for how long, and what they become."""

    uses = forms.IntegerField(
        label=_("Computers"),
        min_value=1,
        max_value=MOST_USES,
        initial=1,
        help_text=_("How many computers may be installed with it."),
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )
    valid_hours = forms.IntegerField(
        label=_("Hours"),
        min_value=1,
        max_value=MOST_HOURS,
        initial=24,
        help_text=_("How long it can be used. Installed Jump Clients stay."),
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )

    mode = forms.ChoiceField(
        label=_("Mode"),
        choices=(("active", _("active: stays connected")), ("passive", _("passive: checks in now and then"))),
        initial="active",
        required=False,
        help_text=_("Of the Jump Clients installed with it; each can be changed later."),
        widget=forms.Select(attrs={"class": "form-select"}),
    )


class UpgradesForm(forms.Form):
    """*Maximum simultaneous Jump Client upgrades* (C4)."""

    simultaneous = forms.IntegerField(
        label=_("Maximum simultaneous Jump Client upgrades"),
        min_value=1,
        max_value=HIGHEST_LIMIT,
        help_text=_("After a site upgrade so many Jump Clients at a time fetch their new version and restart."),
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )
