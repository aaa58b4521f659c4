"""Security > Certificates: what each door shows, what is wrong with it, and bringing one's own (H1)."""

from typing import Final

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from staffetta.base.web.answers import actor, appliance_control, refusals_lead_to
from staffetta.base.web.forms import CertificateForm
from staffetta.base.web.models import MANAGE_CERTIFICATES
from staffetta.kernel.errors import InvalidInput
from staffetta.ui.signin.access import needs

LARGEST_PEM: Final = 256 * 1024
"""Bytes; a key and a long chain fill a tenth of it."""


class NotText(InvalidInput):
    """A chosen file is no PEM text."""

    code = "not-pem"


@needs(MANAGE_CERTIFICATES)
@require_safe
def certificates(request: HttpRequest) -> HttpResponse:
    """The list, and the form to import."""
    with appliance_control() as appliance:
        shown = appliance.certificates()
    return render(request, "appliance/certificates.html", {"certificates": shown, "form": CertificateForm()})


@needs(MANAGE_CERTIFICATES)
@require_POST
@sensitive_variables("pem")
@refusals_lead_to("certificates")
def import_certificate(request: HttpRequest) -> HttpResponse:
    """Check a key and chain and show them from the next connection on; nothing restarts."""
    form = CertificateForm(request.POST, request.FILES)
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, " ".join(str(error) for error in errors))
        return HttpResponseRedirect(reverse("certificates"))
    pem = "\n".join(
        _text_of(file) for file in (form.cleaned_data["certificate"], form.cleaned_data["key"]) if file is not None
    )
    with appliance_control() as appliance:
        now_shown = appliance.replace_certificate(form.cleaned_data["name"], pem, actor(request))
    messages.success(
        request,
        _("The certificate issued to %(subject)s is in use.") % {"subject": now_shown.subject},
    )
    return HttpResponseRedirect(reverse("certificates"))


def _text_of(file: UploadedFile) -> str:
    if file.size is None or file.size > LARGEST_PEM:
        raise NotText(_("%(name)s is too large for a certificate or key.") % {"name": file.name})
    try:
        text: str = file.read().decode("ascii")
    except UnicodeDecodeError:
        raise NotText(
            _("%(name)s is not PEM text. Convert it first (openssl pkcs12 or openssl x509).") % {"name": file.name}
        ) from None
    return text.strip() + "\n"
