"""Errors of ours become pages with their sentence and status; pages that a backup has no use for say where to go."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext as _

from staffetta.kernel.errors import StaffettaError
from staffetta.site.data import identity
from staffetta.site.failover.service import primary_for
from staffetta.ui.errors import WayOut, trouble
from staffetta.ui.sentences import say_error


class ErrorsAsPages(MiddlewareMixin):
    """Goes last, nearest to the views."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Answer for an error of ours that has a status below 500 or says what to do; others stay errors."""
        if not isinstance(exception, StaffettaError) or exception.http_status == 500:
            return None
        if request.path.endswith(".json"):
            return JsonResponse({"code": exception.code, "message": exception.message}, status=exception.http_status)
        return trouble(request, exception.http_status, _("That cannot be done"), say_error(exception))


EDITING: Final = frozenset({"fleet", "management", "accounts", "console"})
"""The apps whose pages edit configuration, or start sessions."""

READING: Final = frozenset({"accounts:mine", "management:audit-log", "fleet:clients-json", "fleet:clients-csv"})
"""Pages of theirs that a backup has too."""


class BackupPages(MiddlewareMixin):
    """On a backup, a page that edits configuration or starts sessions says that it is found on the primary (F2)."""

    def process_view(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        args: tuple[Any, ...],
        keywords: Mapping[str, Any],
    ) -> HttpResponseBase | None:
        """Answer in place of such a page; who is not signed in is asked to do so first."""
        match = request.resolver_match
        if match is None or not EDITING & set(match.app_names) or match.view_name in READING:
            return None
        if not request.user.is_authenticated or identity.role().serves:
            return None
        sentence = _("This appliance is the backup of a failover pair. This page is on the primary.")
        return trouble(request, 409, _("Not on the backup"), sentence, _there(request))


def _there(request: HttpRequest) -> WayOut | None:
    """The same page on the primary. What was sent in a form is not sent on: it is done there anew."""
    primary = primary_for(request.get_host()) if request.method in ("GET", "HEAD") else None
    if primary is None:
        return None
    words = _("Open it on %(appliance)s") % {"appliance": primary.authority}
    return WayOut(f"https://{primary.authority}{request.get_full_path()}", words)
