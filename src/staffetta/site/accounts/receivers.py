"""The first account after the first migrate; and sign-ins, failures, changes of password as audit records."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_migrate
from django.http import HttpRequest

from staffetta.site.accounts import service
from staffetta.site.accounts.models import Account
from staffetta.site.data import audit
from staffetta.ui.signin.accounts import seed_admin
from staffetta.ui.signin.signals import password_changed


def connect(app: AppConfig) -> None:
    """Connect every receiver, once."""
    post_migrate.connect(_seed, sender=app, dispatch_uid="staffetta.site.accounts.seed")
    user_logged_in.connect(_signed_in, dispatch_uid="staffetta.site.signed-in")
    user_logged_out.connect(_signed_out, dispatch_uid="staffetta.site.signed-out")
    user_login_failed.connect(_failed, dispatch_uid="staffetta.site.sign-in-failed")
    password_changed.connect(_password_changed, dispatch_uid="staffetta.site.password-changed")


def _seed(**_: Any) -> None:
    seed_admin(Account)


def _signed_in(user: Account, request: HttpRequest, **_: Any) -> None:
    if not user.probe:
        audit.note(user.username, "user.signed-in", detail={"from": _address(request)})


def _signed_out(user: Account | None, request: HttpRequest, **_: Any) -> None:
    if user is not None and not user.probe:
        audit.note(user.username, "user.signed-out", detail={"from": _address(request)})


def _failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    name = str(credentials.get("username", ""))[:150]
    audit.note(name, "user.sign-in-failed", detail={"from": _address(request)})


def _password_changed(account: Account, request: HttpRequest, **_: Any) -> None:
    service.note_password_changed(account, request.session.session_key or "", _address(request))


def _address(request: HttpRequest | None) -> str:
    return str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""
