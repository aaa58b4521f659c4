"""Status > Basics: what runs here, since when, and what the time is (U6, U9, U11)."""

import time
from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from staffetta.base.web.answers import appliance_control
from staffetta.base.web.first_steps import first_steps, steps_are_due
from staffetta.base.web.settings import DESCRIPTION
from staffetta.base.web.updates import eula_of
from staffetta.ui.signin.access import signed_in


@signed_in
@require_safe
def basics(request: HttpRequest) -> HttpResponse:
    """The first page of `/appliance`."""
    with appliance_control() as appliance:
        status = appliance.status()
        steps = first_steps(status, appliance.updates(), eula_of(appliance)) if steps_are_due(status) else ()
    return render(
        request,
        "appliance/basics.html",
        {
            "status": status,
            "steps": steps,
            "addresses": DESCRIPTION.addresses if DESCRIPTION else (),
            "uptime": timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME)),
        },
    )
