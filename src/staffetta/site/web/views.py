"""The site's common pages: the entrance, Status > Information, and the way to the appliance's own interface."""

from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.identity import role, site_identity
from staffetta.site.data.roles import Role
from staffetta.site.fleet import service as fleet
from staffetta.site.support import service as support
from staffetta.site.support.service import SessionFacts
from staffetta.site.web.first_steps import first_steps
from staffetta.ui.first_steps import FirstStep
from staffetta.ui.signin.access import public, signed_in
from staffetta.ui.signin.views import sign_in
from staffetta.wire.fields import to_base64url


@dataclass(frozen=True, slots=True)
class Information:
    """What Status > Information shows of this moment."""

    version: str
    generation: str
    host: str
    appliance: str
    clients: int
    clients_online: int
    passive: int
    reps_online: int
    sessions: int
    identity: str
    console_command: str


@public
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The site's address itself leads to its entrance."""
    return HttpResponseRedirect(reverse("web:entrance"))


@public
@require_safe
def entrance(request: HttpRequest) -> HttpResponse:
    """`/login`: the sign-in page, or the first page for who is signed in."""
    if request.user.is_authenticated:
        return HttpResponseRedirect(reverse("web:information"))
    return sign_in(request)


@public
@require_safe
def appliance(request: HttpRequest) -> HttpResponse:
    """The appliance's interface has a port of its own; this one only leads there."""
    return HttpResponseRedirect(settings.STAFFETTA_APPLIANCE_URL)


@signed_in
@require_safe
def information(request: HttpRequest) -> HttpResponse:
    """Status > Information; only the figures when htmx asks."""
    now = fleet.fleet_now()
    key = to_base64url(site_identity().public)
    facts = Information(
        version=settings.STAFFETTA_VERSION,
        generation=settings.STAFFETTA_GENERATION,
        host=settings.STAFFETTA_SHARED_HOST,
        appliance=settings.STAFFETTA_SITE_NAME,
        clients=now.clients,
        clients_online=now.clients_online,
        passive=now.passive,
        reps_online=now.reps_online,
        sessions=support.count_live_sessions(),
        identity=key,
        console_command=f"staffetta console sign-in --site {settings.STAFFETTA_SITE_URL} --identity {key}",
    )
    live: tuple[SessionFacts, ...] = ()
    if request.user.has_perm(Allowed.VIEW_REPORTS.full):
        live = tuple(session for session in support.live_sessions() if not session.probe)[:50]
    template = "web/information_live.html" if request.headers.get("HX-Request") == "true" else "web/information.html"
    here = role()
    context = {
        "facts": facts,
        "sessions": live,
        "now": utc_now(),
        "steps": _first_steps(request, here, now.clients),
        "pair_role": "" if here is Role.ALONE else here.value,
    }
    return render(request, template, context)


def _first_steps(request: HttpRequest, here: Role, computers: int) -> tuple[FirstStep, ...]:
    """What is left to begin with, for who reads the page; nothing on a backup, which follows its primary."""
    if not here.serves:
        return ()
    account = cast("Account", request.user)
    given = support.support_was_given()
    found = {
        "computer": given or computers > 0,
        "representative": given or accounts.another_may_start_sessions(account),
        "pair": here is not Role.ALONE,
    }
    may = [one for one in Allowed if account.has_perm(one.full)]
    return first_steps(may, [name for name, done in found.items() if done])
