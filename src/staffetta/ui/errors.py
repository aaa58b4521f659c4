"""The pages shown when something is refused, missing or broken; each says what to do next.

A face names these in its URLconf as `handler400` … and in `CSRF_FAILURE_VIEW`.
"""

from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class WayOut:
    """Where somebody finds what is not on a page: the address, and the words of the link to it."""

    address: str
    words: str


def trouble(
    request: HttpRequest, status: int, title: str | Promise, sentence: str | Promise, way_out: WayOut | None = None
) -> HttpResponse:
    """A page with one sentence about what went wrong, and the ways on: ``way_out`` if there is one, the first page."""
    told = {"trouble": title, "sentence": sentence, "way_out": way_out}
    return render(request, "ui/trouble.html", told, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400; a name that is not this appliance's is said to be that."""
    if isinstance(exception, DisallowedHost):
        names = [name for name in settings.ALLOWED_HOSTS if name not in ("localhost", "127.0.0.1", "[::1]")]
        sentence = _("This appliance does not answer under the name in the address. Open it as one of: %(names)s.")
        return trouble(request, 400, _("Not this name"), sentence % {"names": ", ".join(names)})
    return trouble(request, 400, _("That request cannot be understood"), _("Go back and try again."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403."""
    return trouble(
        request,
        403,
        _("You may not do this"),
        _("Your account lacks the permission. Ask an administrator for it, or sign in with another account."),
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404."""
    return trouble(
        request, 404, _("There is no such page"), _("It may have been removed. Start again from the first page.")
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500. The details are in the log, never in the page."""
    return HttpResponse(loader.render_to_string("ui/broken.html", {"now": timezone.now()}), status=500)


def form_too_old(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without its secret: sent from another site, or from a page opened before signing in again."""
    return trouble(
        request,
        403,
        _("This form is too old"),
        _("It was opened before you signed in again, or your browser keeps no cookies. Open the page again."),
    )
