"""Errors of ours that a view lets through become a page with the error's sentence and status, or JSON for programs."""

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext as _

from staffetta.kernel.errors import StaffettaError
from staffetta.ui.errors import trouble


class ErrorsAsPages(MiddlewareMixin):
    """Goes last, nearest to the views."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Answer for an error of ours that has a status below 500 or says what to do; others stay errors."""
        if not isinstance(exception, StaffettaError) or exception.http_status == 500:
            return None
        if request.path.endswith(".json"):
            return JsonResponse({"code": exception.code, "message": exception.message}, status=exception.http_status)
        return trouble(request, exception.http_status, _("That cannot be done"), exception.message)
