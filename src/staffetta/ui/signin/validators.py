"""Rules for a new password that Django does not bring."""

from typing import Any

from django.contrib.auth.password_validation import MinimumLengthValidator
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from staffetta.ui.signin.accounts import FIRST_PASSWORD


class LongEnough(MinimumLengthValidator):
    """Django's rule in words that are in our catalogue: Django's own has no Italian for them."""

    def get_error_message(self) -> str:
        """What is wrong with a short password."""
        return ngettext(
            "This password is too short. It must have at least %(least)d character.",
            "This password is too short. It must have at least %(least)d characters.",
            self.min_length,
        ) % {"least": self.min_length}


class NotTheOldPassword:
    """Refuses the present password, and the one every new appliance starts with, as a new one (H3)."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ValidationError for the present or the first password."""
        if password == FIRST_PASSWORD or (user is not None and user.check_password(password)):
            raise ValidationError(_("The new password must differ from the old one."), code="password_unchanged")

    def get_help_text(self) -> str:
        """The rule, for the form."""
        return _("It must differ from the old one.")
