"""Asking base's service, and what a page says when it refuses or does not answer."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext as _

from staffetta.base.web.settings import PATHS
from staffetta.control.appliance import ApplianceControl
from staffetta.kernel.errors import StaffettaError, Unavailable
from staffetta.kernel.log import get_logger
from staffetta.ui.sentences import say

RETRY_SECONDS = 5

_log = get_logger(__name__)
Arguments = ParamSpec("Arguments")


def appliance_control() -> ApplianceControl:
    """A client of this appliance's control socket, to be closed after use."""
    return ApplianceControl(PATHS.control_socket)


def actor(request: HttpRequest) -> str:
    """Who asks, as base's audit log names the person."""
    return request.user.get_username()


def sentence(error: StaffettaError) -> str:
    """What an error says, as a sentence of its own in the reader's language."""
    text = error.message.strip()
    if not text:
        return _("Base refused without giving a reason (%(code)s).") % {"code": error.code}
    return say(text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else "."))


def refusals_lead_to(
    url_name: str,
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """A view that does something and is refused says so on the page it was asked from."""

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @functools.wraps(view)
        def told(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                return view(request, *args, **kwargs)
            except Unavailable as error:
                _log.warning("base does not answer: %s", error.message)
                messages.error(request, _("Nothing was done: base's service does not answer. Try again in a moment."))
            except StaffettaError as error:
                messages.error(request, sentence(error))
            return HttpResponseRedirect(reverse(url_name))

        return told

    return decorate


class TroubleInWords(MiddlewareMixin):
    """Turns an error of ours that reaches the door into a page that says what to do, with the error's status."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A page for errors of ours; anything else goes on to Django."""
        if not isinstance(exception, StaffettaError):
            return None
        silent = isinstance(exception, Unavailable)
        if silent:
            _log.warning("base does not answer: %s", exception.message)
        response = render(
            request,
            "appliance/no_answer.html" if silent else "appliance/refused.html",
            {"sentence": sentence(exception), "retry": RETRY_SECONDS},
            status=exception.http_status,
        )
        if silent:
            response.headers["Retry-After"] = str(RETRY_SECONDS)
        return response
