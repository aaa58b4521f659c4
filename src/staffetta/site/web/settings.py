"""Django's settings of the site, read from the appliance that `STAFFETTA_APPLIANCE` names.

Without an appliance (tests, type checks, making migrations) the site lives beside the database file that
`STAFFETTA_SITE_DATABASE` names, or else in a temporary folder of its own, which whoever needs one makes.
"""

import os
import secrets
import tempfile
from importlib.metadata import version as distribution_version
from pathlib import Path
from urllib.parse import urlsplit

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from staffetta.control.paths import AppliancePaths, read_description
from staffetta.kernel.ids import new_id
from staffetta.kernel.settings import load_section
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.secrets import derive, load_or_create
from staffetta.site.web.limits import SiteSettings
from staffetta.ui.configuration import FACE_APPS, face_settings, sqlite
from staffetta.ui.face import Face, Item, Section


def _own_folder() -> Path:
    named = os.environ.get("STAFFETTA_SITE_DATABASE")
    if named:
        return Path(named).parent
    return Path(tempfile.gettempdir()) / new_id("staffetta-site")


_appliance = os.environ.get("STAFFETTA_APPLIANCE")
if _appliance:
    _paths = AppliancePaths(Path(_appliance))
    _description = read_description(_paths)
    _limits = load_section(SiteSettings, _paths.settings, "site")
    _folder = _paths.site
    _database = _folder / "site.sqlite3"
    _place, _hostname = _description.name, _description.hostname
    _shared = urlsplit(_description.site_url)
    _addresses = (_shared.netloc if _shared.port else f"{_shared.netloc}:443", *_description.addresses)
    _site_url = _description.site_url
    _shared_address: str | None = _description.shared_address
    STAFFETTA_APPLIANCE_URL = _description.appliance_url
    STAFFETTA_TRUST_ROOT: Path | None = _paths.trust_root
    STAFFETTA_PATHS: AppliancePaths | None = _paths
else:
    _limits = SiteSettings()
    _folder = _own_folder()
    _database = Path(os.environ.get("STAFFETTA_SITE_DATABASE") or _folder / "site.sqlite3")
    _place, _hostname, _addresses = "site", "localhost", ("localhost:8443",)
    _site_url = "https://localhost:8443"
    _shared_address = None
    STAFFETTA_APPLIANCE_URL = "https://localhost:9443/appliance"
    STAFFETTA_TRUST_ROOT = None
    STAFFETTA_PATHS = None

# Only a process without a site may make do with a key that it forgets.
_has_site = bool(_appliance) or _folder.exists()
_secret = load_or_create(_folder / "secret.key") if _has_site else secrets.token_bytes(32)

STAFFETTA_SITE_FOLDER = _folder
STAFFETTA_SITE_NAME = _place
"""The name of the appliance that this is the site of."""
STAFFETTA_SHARED_HOST = _hostname
"""The site's shared host name, which leads to whichever appliance of a pair is the primary."""
STAFFETTA_SHARED_ADDRESS = _shared_address
"""The IP address that the pair shares, if it has one."""
STAFFETTA_SITE_URL = _site_url
STAFFETTA_ADDRESSES = tuple(dict.fromkeys(_addresses))
"""Where clients reach the site, as host:port: the shared name first, then each appliance's own."""
STAFFETTA_VERSION = os.environ.get("STAFFETTA_VERSION") or distribution_version("staffetta")
STAFFETTA_GENERATION = os.environ.get("STAFFETTA_GENERATION", "")
_release = os.environ.get("STAFFETTA_RELEASE")
STAFFETTA_RELEASE = Path(_release) if _release else None
"""The folder of the release that this process runs from."""
STAFFETTA_FIELD_KEY = derive(_secret, "encrypted fields")

globals().update(
    face_settings(
        "site",
        secret_key=derive(_secret, "django secret key").hex(),
        hosts=[
            "localhost",
            _hostname,
            *(address.rpartition(":")[0] for address in STAFFETTA_ADDRESSES),
            *_limits.more_hosts,
        ],
    )
)


def _edits() -> bool:
    # Models can be imported only once the apps that this file names are loaded.
    from staffetta.site.data import identity

    return identity.role().serves


STAFFETTA_FACE = Face(
    edits=_edits,
    title=_("Remote support"),
    place=_hostname,
    appliance=_place if _place != _hostname else "",
    version=STAFFETTA_VERSION,
    navigation=(
        Section(_("Status"), (Item(_("Information"), "web:information"),)),
        Section(_("My account"), (Item(_("Overview"), "accounts:mine"),)),
        Section(_("Jump"), (Item(_("Jump Clients"), "fleet:clients", everywhere=False),)),
        Section(
            _("Representative console"),
            (Item(_("Remote computers"), "console:computers", Allowed.START_SESSIONS.full, everywhere=False),),
        ),
        Section(
            _("Users & security"), (Item(_("Users"), "accounts:users", Allowed.MANAGE_USERS.full, everywhere=False),)
        ),
        Section(_("Reports"), (Item(_("Sessions"), "support:sessions", Allowed.VIEW_REPORTS.full),)),
        Section(
            _("Management"),
            (
                Item(_("File store"), "management:file-store", Allowed.MANAGE_FILES.full, everywhere=False),
                Item(pgettext_lazy("Management", "Security"), "failover:security", Allowed.MANAGE_FAILOVER.full),
                Item(_("Failover"), "failover:pair", Allowed.MANAGE_FAILOVER.full),
                Item(_("Audit log"), "management:audit-log", Allowed.VIEW_AUDIT_LOG.full),
            ),
        ),
    ),
)

INSTALLED_APPS = [
    *FACE_APPS,
    "staffetta.site.data",
    "staffetta.site.accounts",
    "staffetta.site.fleet",
    "staffetta.site.support",
    "staffetta.site.console",
    "staffetta.site.management",
    "staffetta.site.failover",
    "staffetta.site.web",
]
MIDDLEWARE = [
    *globals()["MIDDLEWARE"],
    "staffetta.site.web.middleware.ErrorsAsPages",
    "staffetta.site.web.middleware.BackupPages",
]
ROOT_URLCONF = "staffetta.site.web.urls"
ASGI_APPLICATION = "staffetta.site.web.asgi.application"

DATABASES = {"default": {**sqlite(_database), "TEST": {"NAME": str(_folder / "test.sqlite3")}}}
# A deleted or replaced row of an append-only table would fire no trigger without this.
DATABASES["default"]["OPTIONS"]["init_command"] += "; PRAGMA recursive_triggers=ON"

AUTH_USER_MODEL = "accounts.Account"
SESSION_ENGINE = "staffetta.site.accounts.sessions"
LOGIN_URL = "signin:sign-in"
LOGIN_REDIRECT_URL = "web:information"
STATIC_URL = "/static/"
TIME_ZONE = _limits.time_zone
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
"""The most that a request may carry, except an upload to the file store, which is streamed."""
