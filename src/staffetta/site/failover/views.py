"""Pages of the pair: the key, the relationship, roles, data-sync, and the pair job as it goes (F1-F4, F7)."""

from typing import Final, cast

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import StaffettaError
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.roles import Role
from staffetta.site.failover import job_service, overview, preflight, service
from staffetta.site.failover.checklist import not_looked_at
from staffetta.site.failover.errors import FailoverError, NotEstablished
from staffetta.site.failover.forms import BecomePrimaryForm, EstablishForm, KeyForm
from staffetta.site.failover.job_errors import NothingNewer
from staffetta.site.failover.job_pictures import picture_of
from staffetta.site.failover.job_record import PairJobRecord
from staffetta.site.failover.rules import Check
from staffetta.ui.sentences import say_error
from staffetta.ui.signin.access import needs

_manages: Final = needs(Allowed.MANAGE_FAILOVER.full)
VERBS: Final = frozenset({"pause", "resume", "undo", "take-over"})


@_manages
@require_http_methods(["GET", "HEAD", "POST"])
def security(request: HttpRequest) -> HttpResponse:
    """Management > Security: the inter-appliance communication pre-shared key."""
    form = KeyForm(request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST" and form.is_valid():
        try:
            service.set_preshared_key(form.cleaned_data["key"], _name(request))
        except StaffettaError as error:
            form.add_error("key", say_error(error))
            status = error.http_status
        else:
            messages.success(request, _("The pre-shared key is set."))
            return HttpResponseRedirect(reverse("failover:security"))
    context = {"form": form, "preshared_key": service.preshared_key(), "fingerprint": service.key_fingerprint()}
    return render(request, "failover/security.html", context, status=status)


@_manages
@require_POST
def generate_key(request: HttpRequest) -> HttpResponse:
    """Draw a new key; the page shows it."""
    service.set_preshared_key(None, _name(request))
    messages.success(request, _("A new pre-shared key is set here. Enter the same one on the other appliance."))
    return HttpResponseRedirect(reverse("failover:security"))


@_manages
@require_safe
def pair(request: HttpRequest) -> HttpResponse:
    """Management > Failover; only its state when htmx asks."""
    if request.headers.get("HX-Request") == "true":
        return render(request, "failover/state.html", _state())
    return _page(request, EstablishForm.filled(service.picture().prefill))


@_manages
@require_POST
def establish(request: HttpRequest) -> HttpResponse:
    """Establish the relationship; what failed is named, check by check, and what would have been looked at next."""
    form = EstablishForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=400)
    try:
        service.establish(form.endpoint("backup"), form.endpoint("reverse"), _name(request))
    except NotEstablished as error:
        return _page(request, form, checks=error.checks, problem=error.message, status=error.http_status)
    except FailoverError as error:
        return _page(request, form, problem=error.message, status=error.http_status)
    messages.success(request, _("The relationship is established. The first data-sync begins within a minute."))
    return HttpResponseRedirect(reverse("failover:pair"))


@_manages
@require_POST
def sync_now(request: HttpRequest) -> HttpResponse:
    """`Sync now`."""
    service.sync_now(_name(request))
    messages.success(request, _("The backup has been asked for a data-sync."))
    return HttpResponseRedirect(reverse("failover:pair"))


@_manages
@require_POST
def become_primary(request: HttpRequest) -> HttpResponse:
    """`Become primary`, after a last data-sync if the box is ticked."""
    form = BecomePrimaryForm(request.POST)
    form.is_valid()
    try:
        service.become_primary(_name(request), with_sync=bool(form.cleaned_data.get("with_sync")))
    except FailoverError as error:
        return _page(request, EstablishForm(), problem=error.message, status=error.http_status)
    messages.success(request, _("This appliance is the primary now."))
    return HttpResponseRedirect(reverse("failover:pair"))


@_manages
@require_POST
def break_relationship(request: HttpRequest) -> HttpResponse:
    """`Break failover relationship`."""
    if service.break_relationship(_name(request)):
        messages.success(request, _("The relationship is broken; nothing else is lost."))
    else:
        messages.warning(
            request, _("The relationship is broken here. The other appliance did not answer: break it there too.")
        )
    return HttpResponseRedirect(reverse("failover:pair"))


@_manages
@require_http_methods(["GET", "HEAD", "POST"])
def upgrade(request: HttpRequest) -> HttpResponse:
    """What an asynchronous upgrade would do and needs, before the person who starts it (F12); then start it."""
    problem, newest, status = "", "", 200
    record: PairJobRecord | None = None
    checks: tuple[preflight.Check, ...] = ()
    try:
        if request.method == "POST":
            begun = job_service.begin(_name(request))
            return HttpResponseRedirect(reverse("failover:job", args=[begun.id]))
        under_way = job_service.under_way()
        if under_way is not None:
            return HttpResponseRedirect(reverse("failover:job", args=[under_way.id]))
        record, checks = job_service.prepare(None)
    except NothingNewer as error:
        newest = error.message
    except StaffettaError as error:
        problem, status = error.message, error.http_status
    blocked = record is None or any(not one.ok and one.need is None for one in checks)
    context = {"record": record, "checks": checks, "problem": problem, "newest": newest, "blocked": blocked}
    return render(request, "failover/upgrade.html", context, status=status)


@_manages
@require_POST
def check_updates(request: HttpRequest) -> HttpResponse:
    """Have both bases ask the update server; the page of the upgrade says what is on offer then."""
    job_service.check_updates(_name(request))
    return HttpResponseRedirect(reverse("failover:upgrade"))


@_manages
@require_safe
def job(request: HttpRequest, job_id: str) -> HttpResponse:
    """A pair job with its live steps; only those when htmx asks."""
    try:
        record = job_service.job(job_id)
    except FailoverError as error:
        raise Http404 from error
    shown = picture_of(record, utc_now(), overview.hosts(service.picture()))
    template = "failover/job_steps.html" if request.headers.get("HX-Request") == "true" else "failover/job.html"
    # 286 ends htmx's polling: https://htmx.org/attributes/hx-trigger/
    ended = record.state.ended and template.endswith("steps.html")
    return render(request, template, {"job": shown}, status=286 if ended else 200)


@_manages
@require_POST
def steer(request: HttpRequest, job_id: str, verb: str) -> HttpResponse:
    """Pause, resume, undo or take over a pair job."""
    if verb not in VERBS:
        raise Http404
    if verb == "take-over":
        job_service.take_over(job_id, _name(request))
    else:
        job_service.steer(job_id, verb, _name(request))
    return HttpResponseRedirect(reverse("failover:job", args=[job_id]))


def _page(
    request: HttpRequest,
    form: EstablishForm,
    *,
    checks: tuple[Check, ...] = (),
    problem: str = "",
    status: int = 200,
) -> HttpResponse:
    ahead = not_looked_at(checks) if checks else ()
    context = {**_state(), "form": form, "checks": checks, "ahead": ahead, "problem": problem}
    return render(request, "failover/pair.html", context, status=status)


def _state() -> dict[str, object]:
    found = service.picture()
    return {
        "pair": found,
        "drawn": overview.draw(found, utc_now()),
        "is_primary": found.role is Role.PRIMARY,
        "is_backup": found.role is Role.BACKUP,
        "jobs": [picture_of(one, utc_now()) for one in job_service.jobs(5)],
    }


def _name(request: HttpRequest) -> str:
    return cast("Account", request.user).username
