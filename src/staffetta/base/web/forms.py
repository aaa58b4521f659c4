"""The forms of `/appliance`; base checks everything again."""

from django import forms
from django.utils.translation import gettext_lazy as _

from staffetta.control.pairing import DEFAULT_HOURS, LEAST_HOURS, MOST_HOURS


class AcceptEulaForm(forms.Form):
    """The box is ticked, for the text with this hash."""

    accept = forms.BooleanField()
    sha256 = forms.RegexField(r"^[0-9a-f]{64}$")


class InstallForm(forms.Form):
    """One offered package."""

    target = forms.CharField(max_length=512)


class ManualInstallForm(forms.Form):
    """A bundle of packages from a removable medium."""

    bundle = forms.FileField(label=_("File"), max_length=255)


class NetworkingForm(forms.Form):
    """IP configuration, as far as the shared address goes."""

    enabled = forms.BooleanField(required=False)


class GrantForm(forms.Form):
    """For how long one pair upgrade is permitted."""

    hours = forms.IntegerField(
        label=_("Hours"),
        min_value=LEAST_HOURS,
        max_value=MOST_HOURS,
        initial=DEFAULT_HOURS,
        widget=forms.NumberInput(attrs={"class": "form-control"}),
    )


class CertificateForm(forms.Form):
    """One's own certificate for one of the two doors: the key and the chain, as files or as one."""

    name = forms.ChoiceField(
        label=_("For"),
        choices=(
            ("site", _("Site (/login)")),
            ("appliance", _("Appliance (/appliance)")),
        ),
        widget=forms.Select(attrs={"class": "form-select"}),
    )
    certificate = forms.FileField(
        label=_("Certificate and chain"),
        help_text=_("PEM: the certificate first, then its chain. The key may be in the same file."),
        widget=forms.ClearableFileInput(attrs={"class": "form-control", "accept": ".pem,.crt,.cer,.txt"}),
    )
    key = forms.FileField(
        label=_("Private key"),
        required=False,
        help_text=_("PEM, without a passphrase. Not needed if the file above holds it."),
        widget=forms.ClearableFileInput(attrs={"class": "form-control", "accept": ".pem,.key,.txt"}),
    )
