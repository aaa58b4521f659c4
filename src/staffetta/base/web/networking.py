"""Networking > IP configuration: where this appliance listens, and the shared address with its *Enabled* (F9, H5)."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from staffetta.base.web.answers import actor, appliance_control, refusals_lead_to
from staffetta.base.web.forms import NetworkingForm
from staffetta.base.web.models import MANAGE_NETWORKING
from staffetta.base.web.settings import DESCRIPTION
from staffetta.ui.signin.access import needs


@needs(MANAGE_NETWORKING)
@require_safe
def networking(request: HttpRequest) -> HttpResponse:
    """The addresses, and the form."""
    with appliance_control() as appliance:
        shared = appliance.shared_address()
    own = DESCRIPTION.addresses[-1:] if DESCRIPTION else ()
    return render(request, "appliance/networking.html", {"shared": shared, "own": own})


@needs(MANAGE_NETWORKING)
@require_POST
@refusals_lead_to("networking")
def save(request: HttpRequest) -> HttpResponse:
    """*Save changes*: at once, for this appliance."""
    form = NetworkingForm(request.POST)
    enabled = form.is_valid() and bool(form.cleaned_data["enabled"])
    with appliance_control() as appliance:
        shared = appliance.enable_shared_address(enabled, actor(request))
    messages.success(
        request,
        _("Saved. The shared address %(address)s is enabled; it follows the primary.") % {"address": shared.address}
        if shared.enabled
        else _("Saved. The shared address %(address)s is disabled on this appliance.") % {"address": shared.address},
    )
    return HttpResponseRedirect(reverse("networking"))
