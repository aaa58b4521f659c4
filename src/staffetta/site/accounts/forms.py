"""The forms of Users & security."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from staffetta.site.accounts.permissions import LABELS, Allowed


def _choices() -> list[tuple[str, Any]]:
    return [(item.value, LABELS[item]) for item in Allowed]


class RightsForm(forms.Form):
    """What an account may do."""

    permissions = forms.MultipleChoiceField(
        label=_("Permissions"),
        choices=_choices,
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs={"class": "form-check-input"}),
    )
    administrator = forms.BooleanField(
        label=_("Administrator"),
        required=False,
        help_text=_("May do everything, now and in later versions."),
        widget=forms.CheckboxInput(attrs={"class": "form-check-input"}),
    )

    def rights(self) -> frozenset[Allowed]:
        """What was ticked; for a valid form."""
        return frozenset(Allowed(value) for value in self.cleaned_data["permissions"])


class NewAccountForm(RightsForm):
    """A new account's name and what it may do."""

    field_order = ("username", "permissions", "administrator")

    username = forms.CharField(
        label=_("User name"),
        max_length=150,
        widget=forms.TextInput(
            attrs={"class": "form-control", "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )
