"""Pages of the fleet: Jump > Jump Clients, with its installer tokens."""

from pathlib import Path
from typing import Final, cast
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import sending
from staffetta.site.fleet import bundle, check_ins, exports, overview, service, updates
from staffetta.site.fleet.forms import TokenForm, UpgradesForm
from staffetta.ui.signin.access import needs, signed_in

PAGE: Final = 100
NOT_SEEN: Final = 25
"""How many of those who were not seen since the site's upgrade the page names; the JSON names all."""
FOLLOWED: Final = 5
RESTING: Final = 30
"""After so many seconds the bar asks again: while clients are behind, and while all have the version."""
_late_progress: Final = updates.LateProgress()
_PLACE: Final = "/var/lib/staffetta-jump-client"
INSTALL: Final = f"staffetta jump-client install --state {_PLACE} --token -"
"""The token is read from input: a command line is seen by everyone on the computer and kept by its shell."""
RUN: Final = (
    f"staffetta jump-client unit --state {_PLACE} > /etc/systemd/system/staffetta-jump-client.service"
    " && systemctl enable --now staffetta-jump-client"
)


@signed_in
@require_safe
def clients(request: HttpRequest) -> HttpResponse:
    """The list of Jump Clients; only its rows when htmx asks, to keep them current."""
    wanted = bundle.version_handed_out()
    search, at = _asked(request, wanted)
    numbers = Paginator(range(service.count_clients(search, include_revoked=True, at=at)), PAGE)
    page = numbers.get_page(request.GET.get("page"))
    first = max(0, page.start_index() - 1)
    rows = service.list_clients(search, include_revoked=True, at=at, offset=first, limit=PAGE)
    updating = _updating(wanted)
    context: dict[str, object] = {
        "rows": [exports.ClientRow.of(row, wanted, updating) for row in rows],
        "search": search,
        "standing": None if at is None else at.standing,
        "may_modify": _may_modify(request),
    }
    if request.headers.get("HX-Request") == "true":
        return render(request, "fleet/clients_rows.html", context)
    found = updates.progress(wanted)
    not_seen = [exports.ClientRow.of(row, wanted) for row in service.list_not_seen(NOT_SEEN)]
    return render(
        request,
        "fleet/clients.html",
        {
            **context,
            "page": page,
            **_progress(found, search, at),
            "not_seen": not_seen,
            "not_seen_more": found.not_seen - len(not_seen),
            "upgrades": UpgradesForm(initial={"simultaneous": found.limit}),
            "kept": () if at is None else (("standing", at.standing),),
            "form": TokenForm(),
        },
    )


@signed_in
@require_safe
def progress(request: HttpRequest) -> HttpResponse:
    """How far the fleet is, as the part of the pages that htmx keeps current."""
    wanted = bundle.version_handed_out()
    found = _late_progress.read(wanted)
    return render(request, "fleet/upgrades_progress.html", _progress(found, *_asked(request, wanted)))


@needs(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
@require_safe
def clients_csv(request: HttpRequest) -> HttpResponseBase:
    """Export the list, who is not current first (C5): as it is searched and filtered, without revoked ones."""
    wanted = bundle.version_handed_out()
    search, at = _asked(request, wanted)
    updating = _updating(wanted)
    found = service.list_clients(search, at=at)
    rows = (exports.ClientRow.of(client, wanted, updating) for client in found)
    made = exports.fleet_csv(rows, wanted)
    return sending.made_now(made, "jump-clients.csv", "text/csv; charset=utf-8")


@signed_in
@require_safe
def clients_json(request: HttpRequest) -> HttpResponse:
    """The list of Jump Clients and how far they are with their upgrades, for programs."""
    found = updates.progress(bundle.version_handed_out())
    rows = service.list_clients(request.GET.get("search", "")[:200], include_revoked=True)
    return JsonResponse(exports.fleet_json(found, rows))


@needs(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
@require_http_methods(["GET", "HEAD", "POST"])
def upgrades(request: HttpRequest) -> HttpResponse:
    """How many Jump Clients upgrade at a time."""
    if request.method != "POST":
        form = UpgradesForm(initial={"simultaneous": updates.limit()})
    else:
        form = UpgradesForm(request.POST)
        if form.is_valid():
            updates.set_limit(_name(request), form.cleaned_data["simultaneous"])
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(reverse("fleet:clients"))
    found = updates.progress(bundle.version_handed_out())
    return render(request, "fleet/upgrades.html", {"upgrades": form, **_progress(found, "", None)})


@needs(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """The installer tokens; a new one is shown once, with the command that uses it."""
    form = TokenForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        wanted = form.cleaned_data
        passive = wanted["mode"] == "passive"
        made = service.make_installer_token(_name(request), wanted["uses"], wanted["valid_hours"], passive=passive)
        return render(
            request,
            "fleet/made_token.html",
            {"made": made, "command": INSTALL, "run_command": RUN, "passive": passive},
        )
    return render(request, "fleet/tokens.html", {"form": form, "tokens": service.list_tokens()})


@needs(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
@require_safe
def trust_root(request: HttpRequest) -> HttpResponseBase:
    """The vendor's root of trust that this appliance was delivered with, for computers that install a client."""
    path: Path | None = settings.STAFFETTA_TRUST_ROOT
    if path is None or not path.exists():
        raise Http404
    return sending.stored_file(path, "root.json", "application/json")


@needs(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
@require_POST
def revoke_token(request: HttpRequest, token_id: str) -> HttpResponse:
    """Let nobody else enrol with a token."""
    service.revoke_token(_name(request), token_id)
    messages.success(request, _("The installer token is revoked; Jump Clients installed with it stay."))
    return HttpResponseRedirect(reverse("fleet:tokens"))


@needs(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
@require_POST
def revoke_client(request: HttpRequest, client_id: str) -> HttpResponse:
    """Let a client in no more."""
    service.revoke_client(_name(request), client_id)
    messages.success(request, _("The Jump Client is revoked; its connections end within a few seconds."))
    return HttpResponseRedirect(reverse("fleet:clients"))


@needs(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
@require_POST
def change_mode(request: HttpRequest, client_id: str) -> HttpResponse:
    """Make a client passive or active."""
    passive = request.POST.get("mode") == "passive"
    check_ins.set_mode(_name(request), client_id, passive=passive)
    said = _("The Jump Client becomes passive when it hears of it: now, or when it is connected next.")
    if not passive:
        said = _("The Jump Client becomes active when it hears of it: now, or when it checks in next.")
    messages.success(request, said)
    return HttpResponseRedirect(reverse("fleet:clients"))


@needs(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
@require_POST
def delete_client(request: HttpRequest, client_id: str) -> HttpResponse:
    """Remove a client from the list."""
    service.delete_client(_name(request), client_id)
    messages.success(request, _("The Jump Client is deleted; its session reports stay."))
    return HttpResponseRedirect(reverse("fleet:clients"))


def _asked(request: HttpRequest, wanted: str | None) -> tuple[str, service.Place | None]:
    """What the list is searched for, and where those listed stand."""
    chosen = overview.chosen(request.GET.get("standing", ""))
    return request.GET.get("search", "")[:200], None if chosen is None else service.Place(chosen, wanted)


def _updating(wanted: str | None) -> set[str]:
    return {slot.client for slot in updates.slots_in_use() if slot.version == wanted}


def _progress(found: updates.FleetProgress, search: str, at: service.Place | None) -> dict[str, object]:
    """What draws the bar; its links and its next question keep what the list is searched for."""
    chosen = None if at is None else at.standing
    return {
        "progress": found,
        "bar": overview.bar(found, chosen),
        "standing": chosen,
        "search": search,
        "query": urlencode({name: value for name, value in (("search", search), ("standing", chosen)) if value}),
        "every": FOLLOWED if found.behind or found.held else RESTING,
    }


def _name(request: HttpRequest) -> str:
    return cast("Account", request.user).username


def _may_modify(request: HttpRequest) -> bool:
    return cast("Account", request.user).has_perm(Allowed.MODIFY_ALL_JUMP_CLIENTS.full)
