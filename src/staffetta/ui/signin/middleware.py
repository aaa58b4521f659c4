"""Until a person has changed a password that must be changed, nothing else is reachable (H3)."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext as _

from staffetta.ui.signin.access import lead_to, may_precede_password_change

CHANGE_PASSWORD_URL_NAME = "signin:change-password"  # noqa: S105 - the name of a page


class MustChangePassword(MiddlewareMixin):
    """Leads who must change the password to that page; public views, sign-out and the page itself stay open.

    Goes after AuthenticationMiddleware.
    """

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Let the view run, or lead to the page that changes the password."""
        if may_precede_password_change(view):
            return None
        if not getattr(request.user, "must_change_password", False):
            return None
        return lead_to(request, CHANGE_PASSWORD_URL_NAME, _("Change your password first."), status=403)
