"""The tables of the accounts room: technicians' accounts and their web sessions."""

from typing import ClassVar, Self

from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from staffetta.site.accounts.permissions import DJANGO_PERMISSIONS
from staffetta.site.data.sync import Sync
from staffetta.ui.signin.accounts import Account as SignInAccount
from staffetta.ui.signin.accounts import AccountManager
from staffetta.ui.signin.sessions import HashedSession


class Account(SignInAccount):
    """A technician (rep) or administrator of the site."""

    sync = Sync.CONFIG
    sync_stays = ("last_login",)
    sync_only: ClassVar[dict[str, object]] = {"probe": False}

    probe = models.BooleanField(default=False, db_default=False, editable=False)
    """Made by a new generation that proves itself, for a few seconds: outside lists, the audit log and sync."""

    consoles_since = models.DateTimeField(null=True, editable=False)
    """Consoles whose credential says an earlier time are signed out, unless it names a web session that goes on.

    It only ever grows, also where two appliances' clocks differ: see ``sign_ins.void_consoles``.
    """

    objects: ClassVar[AccountManager[Self]] = AccountManager()

    class Meta:
        default_permissions = ()
        permissions = DJANGO_PERMISSIONS
        verbose_name = _("user")
        verbose_name_plural = _("users")
        ordering = ("username",)

    def get_session_auth_hash(self) -> str:
        """What a web session remembers of the password, so that a new password ends the others.

        Unlike Django's it does not depend on the appliance's own secret key: sessions replicated to the backup go on
        there. The stored password hash is salted and never leaves the database.
        """
        return salted_hmac("staffetta.site.session", self.password, secret=self.id, algorithm="sha256").hexdigest()


class WebSession(HashedSession):
    """A signed-in browser; replicated, so that nobody is signed out when the backup takes over."""

    sync = Sync.LIVE

    console = models.CharField(max_length=40, null=True, db_index=True, editable=False)
    """The name by which consoles of this browser know it; null until one has come online."""
    ended_at = models.DateTimeField(null=True, editable=False)
    """When somebody ended it; only one with a console is kept that long."""

    class Meta:
        default_permissions = ()
        verbose_name = _("web session")
        verbose_name_plural = _("web sessions")
