"""Updates > Pair upgrade: permitting the site's pair job to install here, for some hours and once (F7)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from staffetta.base.web.answers import actor, appliance_control, refusals_lead_to
from staffetta.base.web.forms import GrantForm
from staffetta.base.web.models import INSTALL_UPDATES
from staffetta.control.pairing import LEAST_HOURS, MOST_HOURS
from staffetta.ui.signin.access import needs


@needs(INSTALL_UPDATES)
@require_safe
def pair(request: HttpRequest) -> HttpResponse:
    """Who has permitted what until when, and the form."""
    with appliance_control() as appliance:
        granted = appliance.pair_grant()
    return render(request, "appliance/pair.html", {"grant": granted, "form": GrantForm()})


@needs(INSTALL_UPDATES)
@require_POST
@refusals_lead_to("pair")
def grant(request: HttpRequest) -> HttpResponse:
    """Permit one pair upgrade."""
    form = GrantForm(request.POST)
    if not form.is_valid():
        messages.error(
            request,
            _("Give a number of hours from %(least)d to %(most)d.") % {"least": LEAST_HOURS, "most": MOST_HOURS},
        )
        return HttpResponseRedirect(reverse("pair"))
    with appliance_control() as appliance:
        appliance.grant_pair_upgrade(form.cleaned_data["hours"], actor(request))
    messages.success(request, _("One pair upgrade is permitted on this appliance."))
    return HttpResponseRedirect(reverse("pair"))


@needs(INSTALL_UPDATES)
@require_POST
@refusals_lead_to("pair")
def withdraw(request: HttpRequest) -> HttpResponse:
    """Permit none any more."""
    with appliance_control() as appliance:
        appliance.withdraw_pair_upgrade(actor(request))
    messages.success(request, _("No pair upgrade is permitted any more."))
    return HttpResponseRedirect(reverse("pair"))
