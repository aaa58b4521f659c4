"""Django settings of `/appliance`. What is not here is common to both faces: `staffetta.ui.configuration`."""

import os

from django.utils.translation import gettext_lazy as _

from staffetta.base.web import place
from staffetta.ui.configuration import FACE_APPS, face_settings, sqlite
from staffetta.ui.face import Face, Item, Section

PATHS = place.appliance_paths()
DESCRIPTION = place.description(PATHS)

globals().update(
    face_settings(
        "appliance",
        secret_key=place.secret_key(PATHS.base / "django.key"),
        hosts=place.hosts(PATHS, DESCRIPTION),
    )
)

INSTALLED_APPS = [*FACE_APPS, "staffetta.base.web"]
MIDDLEWARE = [*globals()["MIDDLEWARE"], "staffetta.base.web.answers.TroubleInWords"]
ROOT_URLCONF = "staffetta.base.web.urls"
ASGI_APPLICATION = "staffetta.base.web.asgi.application"
AUTH_USER_MODEL = "appliance.Account"
SESSION_ENGINE = "staffetta.base.web.sessions"
DATABASES = {"default": sqlite(PATHS.base / "base.sqlite3")}
LOGIN_URL = "signin:sign-in"
LOGIN_REDIRECT_URL = "home"
STATIC_URL = "/appliance/static/"
TIME_ZONE = os.environ.get("TZ") or "UTC"

FILE_UPLOAD_TEMP_DIR = str(place.spool(PATHS))

STAFFETTA_FACE = Face(
    title=_("Appliance"),
    place=DESCRIPTION.name if DESCRIPTION else "appliance",
    version=os.environ.get("STAFFETTA_VERSION", ""),
    navigation=(
        Section(_("Status"), (Item(_("Basics"), "home"),)),
        Section(_("Networking"), (Item(_("IP configuration"), "networking"),)),
        Section(_("Security"), (Item(_("Certificates"), "certificates"),)),
        Section(_("Updates"), (Item(_("Updates"), "updates"), Item(_("Pair upgrade"), "pair"))),
    ),
)
