"""Who may sign in to a face: the abstract account, and the first one, `admin` with the password `password` (H3)."""

import unicodedata
from functools import lru_cache
from typing import ClassVar, Final, TypeVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.utils.translation import gettext_lazy as _

from staffetta.kernel.ids import new_id

FIRST_USERNAME: Final = "admin"
FIRST_PASSWORD: Final = "password"  # noqa: S105 - what the guide prints; it must be changed at the first sign-in

AnyAccount = TypeVar("AnyAccount", bound="Account")


def normal_username(username: str) -> str:
    """The one spelling of a user name: no outer blanks, compatibility forms folded, lower case."""
    return unicodedata.normalize("NFKC", username.strip()).casefold()


class AccountManager(BaseUserManager[AnyAccount]):
    """Makes and finds accounts by their normal user name."""

    def create_account(self, username: str, password: str | None = None, **fields: object) -> AnyAccount:
        """Make an account. With no password nobody can sign in to it until one is set."""
        account = self.model(username=normal_username(username), **fields)
        account.set_password(password)
        account.save(using=self._db)
        return account

    def get_by_natural_key(self, username: str | None) -> AnyAccount:
        """Find an account in any spelling of its name. Raises the model's DoesNotExist."""
        return super().get_by_natural_key(normal_username(username or ""))


class Account(AbstractBaseUser, PermissionsMixin):
    """A person who signs in to one face. Random ids, so that accounts made on two appliances never collide."""

    id = models.CharField(primary_key=True, max_length=26, default=new_id, editable=False)
    username = models.CharField(
        _("user name"),
        max_length=150,
        unique=True,
        error_messages={"unique": _("There is an account with this user name already.")},
    )
    email = models.EmailField(_("e-mail address"), blank=True, default="", db_default="")
    must_change_password = models.BooleanField(
        _("must change the password at the next sign-in"), default=False, db_default=False
    )
    is_active = models.BooleanField(_("may sign in"), default=True, db_default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        abstract = True

    def __str__(self) -> str:
        """The user name."""
        return self.username

    @classmethod
    def normalize_username(cls, username: str) -> str:
        """The one spelling under which a name is stored and compared."""
        return normal_username(username)

    def clean(self) -> None:
        """Bring the user name into its one spelling before it is validated as unique."""
        self.username = normal_username(self.username)


def seed_admin(model: type[AnyAccount]) -> AnyAccount | None:
    """Make the first account, `admin` / `password`, which must change its password at the first sign-in (H3).

    Does nothing and returns None when there is any account: a password once changed never comes back.
    """
    if model._default_manager.exists():
        return None
    account = model(username=FIRST_USERNAME, is_superuser=True, must_change_password=True, is_active=True)
    account.set_password(FIRST_PASSWORD)
    account.save(force_insert=True)
    return account


def first_password_stands(model: type[AnyAccount]) -> bool:
    """Whether the first account still has the first password, so that anybody may sign in with it (H3)."""
    found = model._default_manager.filter(username=FIRST_USERNAME, is_active=True, must_change_password=True)
    encoded = found.values_list("password", flat=True).first()
    return encoded is not None and _is_first_password(encoded)


@lru_cache(maxsize=1)
def _is_first_password(encoded: str) -> bool:
    """Kept, since hashing is made to be slow, and base asks every few seconds."""
    return check_password(FIRST_PASSWORD, encoded)
