"""Acting on accounts: the console's sign-in, what a rep may do, and everything Users & security does."""

import math
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from axes.handlers.proxy import AxesProxyHandler
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts import rules
from staffetta.site.accounts.errors import AccountUnknown, BadAccount, NameTaken, NotYours, SignInRefused
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import APP_LABEL, Allowed
from staffetta.site.accounts.rules import Rights
from staffetta.site.accounts.sessions import SessionStore
from staffetta.site.accounts.sign_ins import void_consoles
from staffetta.site.data import audit
from staffetta.ui.signin.accounts import normal_username
from staffetta.ui.signin.throttle import Locked, WrongPassword, authenticate_from

_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without letters that look alike: a one-time password is read out and typed."""


@dataclass(frozen=True, slots=True)
class RepIdentity:
    """A rep who has proven who they are."""

    id: str
    name: str
    permissions: frozenset[str]
    consoles_since: datetime | None
    """Since when the account's consoles are signed in, as it was read together with the password."""


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """An account as the list of users shows it."""

    id: str
    username: str
    administrator: bool
    allowed: frozenset[Allowed]
    active: bool
    must_change_password: bool
    last_sign_in: datetime | None


@dataclass(frozen=True, slots=True)
class OneTimePassword:
    """A password shown once; it must be changed at the next sign-in."""

    account: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"OneTimePassword(username={self.username!r})"


def authenticate_console(username: str, password: str, remote: str) -> RepIdentity:
    """Check a console's sign-in from the address ``remote``; throttled like the page's. Raises ``SignInRefused``."""
    answer = authenticate_from(remote, username, password)
    if isinstance(answer, Locked):
        seconds = max(1, math.ceil((answer.until - utc_now()).total_seconds()))
        raise SignInRefused("locked", _("Too many attempts; try again in %(n)d s.") % {"n": seconds}, seconds)
    if isinstance(answer, WrongPassword):
        raise SignInRefused("wrong-password", _("The user name or the password is wrong."))
    assert isinstance(answer, Account)
    if answer.must_change_password:
        raise SignInRefused(
            "password-change-needed",
            _("The password must be changed first: sign in to the site's pages with it and choose a new one."),
        )
    allowed = frozenset(item.value for item in _rights(answer).allowed)
    rep = RepIdentity(answer.id, answer.username, allowed, answer.consoles_since)
    if Allowed.START_SESSIONS not in rep.permissions:
        raise SignInRefused("may-not-start-sessions", _("This account may not start sessions; ask an administrator."))
    AxesProxyHandler.reset_attempts(username=answer.username, ip_address=remote)
    audit.note(answer.username, "user.signed-in", "at the console", {"from": remote})
    return rep


def may(rep_id: str, permission: str) -> bool:
    """Whether an account that is not disabled may do something; read anew at each call, so changes count at once."""
    account = Account.objects.filter(pk=rep_id, is_active=True).first()
    return account is not None and Allowed(permission.removeprefix(f"{APP_LABEL}.")) in _rights(account).allowed


def another_may_start_sessions(account: Account) -> bool:
    """Whether somebody else than this account could hold a session, being administrator or allowed to."""
    allowed = Q(is_superuser=True) | Q(
        user_permissions__content_type__app_label=APP_LABEL, user_permissions__codename=Allowed.START_SESSIONS.value
    )
    return Account.objects.filter(allowed, probe=False, is_active=True).exclude(pk=account.pk).exists()


def list_accounts() -> tuple[AccountSummary, ...]:
    """Return every account by user name."""
    return tuple(
        _summary(account) for account in Account.objects.filter(probe=False).prefetch_related("user_permissions")
    )


def summary(account_id: str) -> AccountSummary:
    """Return one account. Raises ``AccountUnknown``."""
    return _summary(_account(account_id))


def make_account(
    actor: Account, username: str, allowed: frozenset[Allowed], administrator: bool = False
) -> OneTimePassword:
    """Make an account with a one-time password. Raises ``NameTaken``, ``BadAccount``, ``NotYours``."""
    name = normal_username(username)
    account = Account(username=name, is_superuser=administrator, must_change_password=True)
    wanted = Rights(account.id, administrator, allowed)
    _refuse(rules.refusal_to_change_rights(_rights(actor), Rights(account.id, False, frozenset()), wanted))
    password = _new_password()
    account.set_password(password)
    with transaction.atomic():
        if Account.objects.filter(username=name).exists():
            raise NameTaken(_("There is an account with this user name already."))
        try:
            account.full_clean(exclude=["password"])
        except ValidationError as error:
            raise BadAccount(" ".join(error.messages)) from None
        account.save(force_insert=True)
        _store_permissions(account, allowed)
        audit.note(actor.username, "user.made", name, _rights_detail(wanted))
    return OneTimePassword(account.id, name, password)


def change_rights(actor: Account, account_id: str, allowed: frozenset[Allowed], administrator: bool) -> None:
    """Set what an account may do. Raises ``AccountUnknown``, ``NotYours``."""
    with transaction.atomic():
        account = _account(account_id)
        wanted = Rights(account.id, administrator, allowed)
        _refuse(rules.refusal_to_change_rights(_rights(actor), _listed_rights(account), wanted))
        account.is_superuser = administrator
        account.save(update_fields=["is_superuser"])
        _store_permissions(account, allowed)
        audit.note(actor.username, "user.rights-changed", account.username, _rights_detail(wanted))


def disable(actor: Account, account_id: str) -> None:
    """Let nobody sign in to an account, and sign it out everywhere. Raises ``AccountUnknown``, ``NotYours``."""
    with transaction.atomic():
        account = _account(account_id)
        _refuse(rules.refusal_to_disable(_rights(actor), _rights(account)))
        account.is_active = False
        account.save(update_fields=["is_active"])
        void_consoles(account, utc_now())
        SessionStore.end_all_of(account.id)
        audit.note(actor.username, "user.disabled", account.username)


def enable(actor: Account, account_id: str) -> None:
    """Let an account be signed in to again. Raises ``AccountUnknown``, ``NotYours``."""
    with transaction.atomic():
        account = _account(account_id)
        _refuse(rules.refusal_to_touch(_rights(actor), _rights(account)))
        account.is_active = True
        account.save(update_fields=["is_active"])
        audit.note(actor.username, "user.enabled", account.username)


def reset_password(actor: Account, account_id: str) -> OneTimePassword:
    """Give an account a one-time password and sign it out everywhere. Raises ``AccountUnknown``, ``NotYours``."""
    with transaction.atomic():
        account = _account(account_id)
        _refuse(rules.refusal_to_touch(_rights(actor), _rights(account)))
        return _reset(account, actor.username)


def reset_password_by_command(username: str) -> OneTimePassword:
    """The same from the command line of the appliance, for a lost password; also lifts a lock on the user name.

    A disabled account stays disabled. Raises ``AccountUnknown``.
    """
    with transaction.atomic():
        account = Account.objects.filter(username=normal_username(username), probe=False).first()
        if account is None:
            raise AccountUnknown(f"There is no user {username!r} on this site.")
        AxesProxyHandler.reset_attempts(username=account.username)
        return _reset(account, "command line")


def sign_out_elsewhere(account: Account, token: str) -> None:
    """End every other web session than the one with this token, and every console but this browser's.

    Raises ``ReadOnlyHere`` on a backup: consoles are the primary's.
    """
    with transaction.atomic():
        void_consoles(account, utc_now())
        SessionStore.end_others_of(account.pk, token)
        audit.note(account.username, "user.signed-out-elsewhere", account.username)


def note_password_changed(account: Account, token: str, remote: str) -> None:
    """A person has set a new password: whoever else is signed in with the old one, in pages or consoles, is out."""
    with transaction.atomic():
        void_consoles(account, utc_now())
        SessionStore.end_others_of(account.pk, token)
        audit.note(account.username, "user.password-changed", account.username, {"from": remote})


def _reset(account: Account, actor: str) -> OneTimePassword:
    password = _new_password()
    account.set_password(password)
    account.must_change_password = True
    account.save(update_fields=["password", "must_change_password"])
    void_consoles(account, utc_now())
    SessionStore.end_all_of(account.id)
    audit.note(actor, "user.password-reset", account.username)
    return OneTimePassword(account.id, account.username, password)


def _account(account_id: str) -> Account:
    account = Account.objects.filter(pk=account_id, probe=False).first()
    if account is None:
        raise AccountUnknown(_("There is no such user."))
    return account


def _summary(account: Account) -> AccountSummary:
    rights = _listed_rights(account)
    return AccountSummary(
        account.id,
        account.username,
        rights.administrator,
        rights.allowed,
        account.is_active,
        account.must_change_password,
        account.last_login,
    )


def _listed_rights(account: Account) -> Rights:
    """What is ticked on the account, whether or not it is administrator besides."""
    codenames = {permission.codename for permission in account.user_permissions.all()}
    return Rights(account.id, account.is_superuser, frozenset(item for item in Allowed if item.value in codenames))


def _rights(account: Account) -> Rights:
    """What the account may do: an administrator everything."""
    listed = _listed_rights(account)
    return Rights(account.id, True, frozenset(Allowed)) if listed.administrator else listed


def _store_permissions(account: Account, allowed: frozenset[Allowed]) -> None:
    account.user_permissions.set(
        Permission.objects.filter(content_type__app_label=APP_LABEL, codename__in=[item.value for item in allowed])
    )


def _rights_detail(rights: Rights) -> dict[str, str | int | bool]:
    return {"administrator": rights.administrator, "allowed": ", ".join(sorted(rights.allowed))}


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise NotYours(_sentence(reason))


def _sentence(reason: str) -> str:
    return {
        "may-not-manage-users": _("You may not manage users."),
        "target-is-administrator": _("Only an administrator may change an administrator."),
        "target-is-allowed-more": _("This user may do more than you; ask an administrator."),
        "only-administrators-make-administrators": _("Only an administrator may make another one."),
        "beyond-your-own": _("You cannot allow others what you are not allowed yourself."),
        "not-yourself": _("You cannot do this to your own account; ask another administrator."),
    }[reason]


def _new_password() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _letter in range(16))
    return "-".join(letters[start : start + 4] for start in range(0, 16, 4))
