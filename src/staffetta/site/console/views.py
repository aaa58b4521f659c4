"""Pages of the console: the list of computers, a session to begin, a session to be in, and the browser's credential."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from staffetta.site.accounts import credentials
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.accounts.sessions import SessionStore
from staffetta.site.console import words
from staffetta.site.console.policy import new_nonce, policy_for_session
from staffetta.site.data.identity import site_identity
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet.errors import ClientUnknown
from staffetta.site.gateway import standing
from staffetta.site.support import service as support
from staffetta.site.support.errors import SessionUnknown
from staffetta.ui.signin.access import needs
from staffetta.wire import fields as wire_fields
from staffetta.wire.fields import Key, to_base64url
from staffetta.wire.frames import read_object
from staffetta.wire.vocabulary import SessionKind

PAGE: Final = 50
MOST_GOING_ON: Final = 20
_KINDS: Final = frozenset(kind.value for kind in SessionKind)


@dataclass(frozen=True, slots=True)
class Asked:
    """The body of POST credential.json: the public half of the key that the browser has made."""

    public_key: Key


@dataclass(frozen=True, slots=True)
class Held:
    """What a session's page shows before its script does: with which computer, of which kind, since when."""

    session: str
    client: str
    client_name: str
    kind: str
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str = ""


@needs(Allowed.START_SESSIONS.full)
@require_safe
def computers(request: HttpRequest) -> HttpResponse:
    """The computers to give support to; only the list when htmx asks."""
    search = request.GET.get("search", "")[:200]
    online = request.GET.get("online") == "yes"
    numbers = Paginator(range(fleet.count_clients(search, online=online)), PAGE)
    page = numbers.get_page(request.GET.get("page"))
    rows = fleet.list_clients(search, online=online, offset=max(0, page.start_index() - 1), limit=PAGE)
    asked = {"search": search, **({"online": "yes"} if online else {})}
    template = "console/list.html" if request.headers.get("HX-Request") == "true" else "console/computers.html"
    context = {
        "rows": rows,
        "page": page,
        "search": search,
        "online": online,
        "query": urlencode(asked),
        "going_on": support.live_sessions_of(_account(request).id, MOST_GOING_ON),
    }
    return render(request, template, context)


@needs(Allowed.START_SESSIONS.full)
@require_POST
def credential(request: HttpRequest) -> JsonResponse:
    """Give this browser's key what a console shows to come online, while this web session goes on."""
    asked = wire_fields.read(Asked, read_object(request.body))
    web = cast("SessionStore", request.session).for_consoles()
    made = credentials.for_browser(_account(request), asked.public_key, request.META["REMOTE_ADDR"], web)
    return JsonResponse({"credential": made.token, "expires": made.expires}, headers={"Cache-Control": "no-store"})


@needs(Allowed.START_SESSIONS.full)
@require_safe
def begin(request: HttpRequest, client_id: str, kind: str) -> HttpResponse:
    """A session to begin: the page's script opens it, once a person has asked for it, and its address becomes that of
    the session. Nothing happens by asking for this page."""
    if kind not in _KINDS:
        raise Http404
    try:
        client = fleet.authenticate_client(client_id)
    except ClientUnknown:
        raise Http404 from None
    return _page(request, Held("", client.id, client.name, kind))


@needs(Allowed.START_SESSIONS.full)
@require_safe
def session(request: HttpRequest, session_id: str) -> HttpResponse:
    """A session to be in: the browser that holds it goes on with it. It must be the rep's own.

    One that this appliance does not know yet may have come from the other one of a pair: the browser knows it.
    """
    try:
        facts = support.session(session_id)
    except SessionUnknown:
        return _page(request, Held(session_id, "", _("A session"), ""))
    if facts.rep_id != _account(request).id or facts.kind not in _KINDS:
        raise Http404
    held = Held(
        session_id, facts.client_id, facts.client_name, facts.kind, facts.opened_at, facts.ended_at, facts.end_reason
    )
    return _page(request, held)


def _page(request: HttpRequest, held: Held) -> HttpResponse:
    nonce = new_nonce()
    addresses = standing.read(settings.STAFFETTA_ADDRESSES).addresses
    context: dict[str, Any] = {
        "held": held,
        "nonce": nonce,
        "site_key": to_base64url(site_identity().public),
        "addresses": " ".join(addresses),
        "rep": _account(request).id,
        "said": words.said(),
        "may_see_reports": _account(request).has_perm(Allowed.VIEW_REPORTS.full),
    }
    page = render(request, "console/session.html", context)
    page.headers["Content-Security-Policy"] = policy_for_session(nonce, request.get_host(), addresses)
    return page


def _account(request: HttpRequest) -> Account:
    return cast("Account", request.user)
