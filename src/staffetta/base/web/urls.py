"""Addresses of `/appliance`."""

from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from staffetta.base.web import certificates, jobs, networking, pair, status, updates
from staffetta.ui.language import choose_language
from staffetta.ui.signin.access import public
from staffetta.ui.static_files import static_file

_pages: list[URLPattern | URLResolver] = [
    path("", status.basics, name="home"),
    path("updates", updates.updates, name="updates"),
    path("updates/check", updates.check, name="check"),
    path("updates/eula", updates.accept_eula, name="accept-eula"),
    path("updates/install", updates.install, name="install"),
    path("updates/install-file", updates.install_file, name="install-file"),
    path("updates/jobs/<str:job>", jobs.job, name="job"),
    path("updates/jobs/<str:job>/events", jobs.job_events, name="job-events"),
    path("security/certificates", certificates.certificates, name="certificates"),
    path("security/certificates/import", certificates.import_certificate, name="import-certificate"),
    path("networking", networking.networking, name="networking"),
    path("networking/save", networking.save, name="save-networking"),
    path("pair", pair.pair, name="pair"),
    path("pair/grant", pair.grant, name="grant-pair-upgrade"),
    path("pair/withdraw", pair.withdraw, name="withdraw-pair-upgrade"),
    path("static/<path:path>", static_file, name="static"),
    path("language", choose_language, name="language"),
    path("", include("staffetta.ui.signin.urls")),
]

urlpatterns = [
    path("", public(RedirectView.as_view(pattern_name="home"))),
    path("appliance", public(RedirectView.as_view(pattern_name="home"))),
    path("appliance/", include(_pages)),
]

handler400 = "staffetta.ui.errors.bad_request"
handler403 = "staffetta.ui.errors.permission_denied"
handler404 = "staffetta.ui.errors.page_not_found"
handler500 = "staffetta.ui.errors.server_error"
