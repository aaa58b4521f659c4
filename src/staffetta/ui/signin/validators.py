"""Rules for a new password that Django does not bring."""

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from staffetta.ui.signin.accounts import FIRST_PASSWORD


class NotTheOldPassword:
    """Refuses the present password, and the one every new appliance starts with, as a new one (H3)."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raise ValidationError for the present or the first password."""
        if password == FIRST_PASSWORD or (user is not None and user.check_password(password)):
            raise ValidationError(_("The new password must differ from the old one."), code="password_unchanged")

    def get_help_text(self) -> str:
        """The rule, for the form."""
        return _("It must differ from the old one.")
