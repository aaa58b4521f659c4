"""The form above the list of sessions: its fields are the list's address, so that a bookmark keeps them."""

from typing import Final

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from staffetta.site.support.errors import BadSearch
from staffetta.site.support.wanted import ENDED, GOING_ON, Wanted
from staffetta.wire.vocabulary import SessionKind

MOST: Final = 200


class WantedForm(forms.Form):
    """The fields above the list; all may be left empty."""

    search = forms.CharField(label=_("Name or id"), max_length=MOST, required=False)
    rep = forms.CharField(label=_("Representative"), max_length=MOST, required=False)
    computer = forms.CharField(label=_("Computer"), max_length=MOST, required=False)
    kind = forms.ChoiceField(
        label=_("Kind"),
        choices=[("", _("any")), (SessionKind.SHELL.value, _("Shell")), (SessionKind.FILES.value, _("Files"))],
        required=False,
    )
    state = forms.ChoiceField(
        label=_("State"), choices=[("", _("any")), (GOING_ON, _("going on")), (ENDED, _("ended"))], required=False
    )
    since = forms.DateField(
        label=_("Opened from (UTC)"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    until = forms.DateField(
        label=_("until (UTC)"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )

    def __init__(self, data: QueryDict) -> None:
        super().__init__(data)
        for field in self.fields.values():
            kind = "form-select" if isinstance(field, forms.ChoiceField) else "form-control"
            field.widget.attrs["class"] = kind

    def wanted(self) -> Wanted:
        """Return what the fields say. Raises ``BadSearch``, which names what cannot be read."""
        if not self.is_valid():
            said = (f"{self.fields[name].label}: {' '.join(map(str, errors))}" for name, errors in self.errors.items())
            raise BadSearch(" ".join(said))
        return Wanted(**{name: value for name, value in self.cleaned_data.items() if value})
