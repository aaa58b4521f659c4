"""The tables of `/appliance`: who may sign in, and who is. They never leave this appliance."""

from typing import ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from staffetta.ui.signin import accounts, sessions

INSTALL_UPDATES = "appliance.install_updates"
MANAGE_CERTIFICATES = "appliance.manage_certificates"
MANAGE_NETWORKING = "appliance.manage_networking"


class Account(accounts.Account):
    """A person who looks after this appliance."""

    objects: ClassVar[accounts.AccountManager[Self]] = accounts.AccountManager()

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        permissions = (
            ("install_updates", "Check for and install updates, accept licence agreements"),
            ("manage_certificates", "Import certificates and keys"),
            ("manage_networking", "Change the addresses of the appliance"),
        )


class Session(sessions.HashedSession):
    """A web session of one account."""

    class Meta(sessions.HashedSession.Meta):
        indexes: ClassVar[list[models.Index]] = []
