"""The forms of the pair: where the two appliances reach each other, the pre-shared key, becoming primary."""

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from staffetta.site.failover.pictures import Prefill
from staffetta.ui.sentences import say_error
from staffetta.wire.errors import WireError
from staffetta.wire.pair import Endpoint, make_endpoint


def _text(**attributes: str) -> forms.TextInput:
    return forms.TextInput(attrs={"class": "form-control", "autocomplete": "off", "spellcheck": "false", **attributes})


class EstablishForm(forms.Form):
    """*New backup site connection details* and *Reverse connection details to this primary site* (F1)."""

    backup_host = forms.CharField(label=_("Host name or IP address"), max_length=255, widget=_text())
    backup_port = forms.IntegerField(
        label=_("TLS port"),
        min_value=1,
        max_value=65535,
        initial=443,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )
    reverse_host = forms.CharField(label=_("Host name or IP address"), max_length=255, widget=_text())
    reverse_port = forms.IntegerField(
        label=_("TLS port"),
        min_value=1,
        max_value=65535,
        initial=443,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )

    @classmethod
    def filled(cls, prefill: Prefill) -> "EstablishForm":
        """The form with what the last relationship, or this appliance's own address, suggests."""
        initial: dict[str, object] = {}
        for name, endpoint in (("backup", prefill.backup), ("reverse", prefill.reverse)):
            if endpoint is not None:
                initial |= {f"{name}_host": endpoint.host, f"{name}_port": endpoint.port}
        return cls(initial=initial)

    def endpoint(self, name: str) -> Endpoint:
        """Where `backup` or `reverse` is, once the form is valid."""
        return make_endpoint(self.cleaned_data[f"{name}_host"], self.cleaned_data[f"{name}_port"])

    def clean(self) -> dict[str, object]:
        """Both must be addresses at all; whether something answers there is looked at when establishing."""
        for name in ("backup", "reverse"):
            if f"{name}_host" in self.cleaned_data and f"{name}_port" in self.cleaned_data:
                try:
                    self.endpoint(name)
                except WireError as error:
                    self.add_error(f"{name}_host", ValidationError(say_error(error)))
        return self.cleaned_data


class KeyForm(forms.Form):
    """The *Inter-appliance communication pre-shared key*, as the other appliance shows it."""

    key = forms.CharField(
        label=_("Pre-shared key"),
        max_length=200,
        help_text=_("Generate it on one appliance and enter the same one here on the other."),
        widget=_text(),
    )


class BecomePrimaryForm(forms.Form):
    """Whether the last data-sync comes first (F4)."""

    with_sync = forms.BooleanField(required=False, initial=True)
