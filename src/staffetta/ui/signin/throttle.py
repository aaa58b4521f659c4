"""One password check for every door, with a limit on failures kept by django-axes.

After `FAILURE_LIMIT` failures of one user name from one address within `COOL_OFF`, that pair is locked for
`COOL_OFF` after the last of them, the right password included; the refusal says until when. Names that do not exist
are counted, locked and hashed the same as others, so neither words nor time tell which names exist.
"""

from dataclasses import dataclass
from datetime import datetime

from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt
from django.contrib import auth
from django.db.models import Max
from django.http import HttpRequest
from django.utils import timezone

from staffetta.ui.signin.accounts import Account, normal_username
from staffetta.ui.signin.limits import COOL_OFF


@dataclass(frozen=True, slots=True)
class WrongPassword:
    """The user name or the password is wrong, or the account may not sign in; which of these is not told."""


@dataclass(frozen=True, slots=True)
class Locked:
    """Too many failures; the next try counts from `until` on."""

    until: datetime


def authenticate(request: HttpRequest, username: str, password: str) -> Account | WrongPassword | Locked:
    """Check a user name and password; signs nobody in. `request` tells the address (REMOTE_ADDR) that is asking."""
    name = normal_username(username)
    credentials = {"username": name}
    if not AxesProxyHandler.is_allowed(request, credentials):
        return Locked(until=_locked_until(request, name))
    user = auth.authenticate(request, username=name, password=password)
    if isinstance(user, Account):
        AxesProxyHandler.reset_attempts(username=name, ip_address=request.META.get("REMOTE_ADDR"))
        return user
    if not AxesProxyHandler.is_allowed(request, credentials):
        return Locked(until=_locked_until(request, name))
    return WrongPassword()


def authenticate_from(address: str, username: str, password: str) -> Account | WrongPassword | Locked:
    """The same check for a door that is not a Django view: `address` is the asking machine's."""
    request = HttpRequest()
    request.method = "POST"
    request.META["REMOTE_ADDR"] = address
    return authenticate(request, username, password)


def _locked_until(request: HttpRequest, username: str) -> datetime:
    last = AccessAttempt.objects.filter(username=username, ip_address=request.META.get("REMOTE_ADDR")).aggregate(
        last=Max("attempt_time")
    )["last"]
    return (last or timezone.now()) + COOL_OFF
