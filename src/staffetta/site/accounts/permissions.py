"""The closed list of what an account may be allowed, with the words pages show (S12)."""

from enum import StrEnum
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

APP_LABEL: Final = "accounts"


class Allowed(StrEnum):
    """Something that an account may be allowed; an administrator is allowed all of it."""

    START_SESSIONS = "start_sessions"
    MODIFY_ALL_JUMP_CLIENTS = "modify_all_jump_clients"
    VIEW_REPORTS = "view_reports"
    MANAGE_FILES = "manage_files"
    MANAGE_USERS = "manage_users"
    VIEW_AUDIT_LOG = "view_audit_log"
    MANAGE_FAILOVER = "manage_failover"

    @property
    def full(self) -> str:
        """The name that Django's permission checks and the access decorators take."""
        return f"{APP_LABEL}.{self.value}"


LABELS: Final[dict[Allowed, Promise]] = {
    Allowed.START_SESSIONS: _("Start sessions with Jump Clients"),
    Allowed.MODIFY_ALL_JUMP_CLIENTS: _("Modify all Jump Clients"),
    Allowed.VIEW_REPORTS: _("View reports and recordings"),
    Allowed.MANAGE_FILES: _("Manage the file store"),
    Allowed.MANAGE_USERS: _("Manage users"),
    Allowed.VIEW_AUDIT_LOG: _("View the audit log"),
    Allowed.MANAGE_FAILOVER: _("Manage failover and the inter-appliance key"),
}

DJANGO_PERMISSIONS: Final = tuple((item.value, item.value.replace("_", " ").capitalize()) for item in Allowed)
"""For the account model's Meta: plain English, because it becomes rows at migrate time."""
