"""The two forms of this room: user name and password, and a new password."""

from typing import Any, cast

from django import forms
from django.contrib.auth import password_validation
from django.utils.translation import gettext_lazy as _

from staffetta.ui.signin.accounts import Account


def _password_input(autocomplete: str) -> forms.PasswordInput:
    return forms.PasswordInput(attrs={"class": "form-control", "autocomplete": autocomplete})


class SignInForm(forms.Form):
    """User name and password as typed; the view checks them."""

    username = forms.CharField(
        label=_("User name"),
        max_length=150,
        widget=forms.TextInput(
            attrs={
                "class": "form-control",
                "autocomplete": "username",
                "autocapitalize": "none",
                "spellcheck": "false",
                "autofocus": True,
            }
        ),
    )
    password = forms.CharField(
        label=_("Password"), strip=False, max_length=4096, widget=_password_input("current-password")
    )


class ChangePasswordForm(forms.Form):
    """The old password once and the new one twice, checked by the configured rules."""

    old_password = forms.CharField(
        label=_("Old password"), strip=False, max_length=4096, widget=_password_input("current-password")
    )
    new_password1 = forms.CharField(
        label=_("New password"), strip=False, max_length=4096, widget=_password_input("new-password")
    )
    new_password2 = forms.CharField(
        label=_("New password again"), strip=False, max_length=4096, widget=_password_input("new-password")
    )

    def __init__(self, account: Account, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account
        self.fields["new_password1"].help_text = " ".join(password_validation.password_validators_help_texts())

    def clean_old_password(self) -> str:
        """Refuse a wrong old password: an unlocked screen alone must not be enough to take an account over."""
        old: str = self.cleaned_data["old_password"]
        if not self.account.check_password(old):
            raise forms.ValidationError(_("The old password is wrong."), code="wrong")
        return old

    def clean_new_password1(self) -> str:
        """Apply the rules for passwords."""
        new: str = self.cleaned_data["new_password1"]
        password_validation.validate_password(new, cast("Any", self.account))
        return new

    def clean(self) -> dict[str, Any]:
        """Refuse two new passwords that differ."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        new, again = cleaned.get("new_password1"), cleaned.get("new_password2")
        if new and again and new != again:
            self.add_error("new_password2", _("The two new passwords differ."))
        return cleaned
