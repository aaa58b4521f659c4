"""The addresses of the site's pages."""

from django.urls import URLPattern, URLResolver, include, path

from staffetta.site.support.views import session_json, sessions_json
from staffetta.site.web import views
from staffetta.ui.language import choose_language
from staffetta.ui.static_files import static_file

handler400 = "staffetta.ui.errors.bad_request"
handler403 = "staffetta.ui.errors.permission_denied"
handler404 = "staffetta.ui.errors.page_not_found"
handler500 = "staffetta.ui.errors.server_error"

_own: list[URLPattern | URLResolver] = [
    path("login", views.entrance, name="entrance"),
    path("login/", views.entrance),
    path("login/status/information", views.information, name="information"),
    path("appliance", views.appliance, name="appliance"),
    path("appliance/", views.appliance),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("", include((_own, "web"))),
    path("login/", include("staffetta.ui.signin.urls")),
    path("static/<path:path>", static_file, name="static"),
    path("login/language", choose_language, name="language"),
    path("login/", include("staffetta.site.accounts.urls")),
    path("login/", include("staffetta.site.fleet.urls")),
    path("login/", include("staffetta.site.support.urls")),
    path("login/", include("staffetta.site.console.urls")),
    path("login/", include("staffetta.site.management.urls")),
    path("login/", include("staffetta.site.failover.urls")),
    # for programs, at an address that does not depend on where the pages are
    path("reports/sessions.json", sessions_json),
    path("reports/sessions/<slug:session_id>.json", session_json),
]
