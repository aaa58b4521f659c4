"""Updates: what is offered, what it needs, installing it from the update server or from a file (U2, U3, U4, U8)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from staffetta.base.web.answers import actor, appliance_control, refusals_lead_to
from staffetta.base.web.forms import AcceptEulaForm, InstallForm, ManualInstallForm
from staffetta.base.web.models import INSTALL_UPDATES
from staffetta.base.web.way import stops
from staffetta.control.appliance import ApplianceControl, ApplianceRefused, Eula
from staffetta.ui.signin.access import needs

HISTORY = 50
"""So many of the last jobs are listed."""


@needs(INSTALL_UPDATES)
@require_safe
def updates(request: HttpRequest) -> HttpResponse:
    """The way to the newest, offers, licence agreement, manual installation, history."""
    with appliance_control() as appliance:
        status, found, jobs = appliance.status(), appliance.updates(), appliance.jobs()
        context = {
            "status": status,
            "updates": found,
            "stops": stops(status, found, next((job for job in jobs if job.id == status.job), None)),
            "eula": eula_of(appliance),
            "jobs": jobs[:HISTORY],
        }
    return render(request, "appliance/updates.html", context)


@needs(INSTALL_UPDATES)
@require_POST
@refusals_lead_to("updates")
def check(request: HttpRequest) -> HttpResponse:
    """Ask the update server now."""
    with appliance_control() as appliance:
        found = appliance.check_updates(actor(request))
    if found.error is None:
        available = sum(not offer.installed for offer in found.offers)
        messages.success(
            request,
            _("Checked. Packages available: %(count)d.") % {"count": available}
            if available
            else _("Checked. There is nothing newer for this appliance."),
        )
    return HttpResponseRedirect(reverse("updates"))


@needs(INSTALL_UPDATES)
@require_POST
@refusals_lead_to("updates")
def accept_eula(request: HttpRequest) -> HttpResponse:
    """Accept the licence agreement that the page showed (U8)."""
    form = AcceptEulaForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Tick the box to accept the licence agreement."))
        return HttpResponseRedirect(reverse("updates"))
    with appliance_control() as appliance:
        appliance.accept_eula(form.cleaned_data["sha256"], actor(request))
    messages.success(request, _("The licence agreement is accepted."))
    return HttpResponseRedirect(reverse("updates"))


@needs(INSTALL_UPDATES)
@require_POST
@refusals_lead_to("updates")
def install(request: HttpRequest) -> HttpResponse:
    """Start installing one offer and show its progress."""
    form = InstallForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose a package from the list."))
        return HttpResponseRedirect(reverse("updates"))
    with appliance_control() as appliance:
        job = appliance.install(form.cleaned_data["target"], actor(request))
    return redirect("job", job=job)


@needs(INSTALL_UPDATES)
@require_POST
@refusals_lead_to("updates")
def install_file(request: HttpRequest) -> HttpResponse:
    """*Manual installation*: pass the chosen file on and show the progress of what it starts (U4)."""
    form = ManualInstallForm(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, _("Choose the file that holds the packages."))
        return HttpResponseRedirect(reverse("updates"))
    bundle = form.cleaned_data["bundle"]
    with appliance_control() as appliance:
        job = appliance.install_upload(bundle.name, bundle.chunks(), actor(request))
    return redirect("job", job=job)


def eula_of(appliance: ApplianceControl) -> Eula | None:
    """The licence agreement of what is on offer; None while nothing is."""
    try:
        return appliance.eula()
    except ApplianceRefused as refused:
        if refused.http_status == 404:
            return None
        raise
