"""Sign in, sign out, change the password: the pages, the same on both faces."""

import math
from typing import Any, cast

from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render, resolve_url
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from staffetta.ui.signin.access import before_password_change, public, signed_in
from staffetta.ui.signin.accounts import Account
from staffetta.ui.signin.forms import ChangePasswordForm, SignInForm
from staffetta.ui.signin.signals import password_changed
from staffetta.ui.signin.throttle import Locked, WrongPassword, authenticate


@public
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for user name and password; lead on to `next`, or to the change of a password that must be changed."""
    onward = _onward(request)
    if request.method != "POST" and request.user.is_authenticated:
        return HttpResponseRedirect(onward)
    form = SignInForm(request.POST if request.method == "POST" else None)
    locked: Locked | None = None
    if request.method == "POST" and form.is_valid():
        answer = authenticate(request, form.cleaned_data["username"], form.cleaned_data["password"])
        if isinstance(answer, Account):
            auth.login(request, cast("Any", answer))
            if answer.must_change_password:
                return HttpResponseRedirect(resolve_url("signin:change-password"))
            return HttpResponseRedirect(onward)
        if isinstance(answer, WrongPassword):
            form.add_error(None, _("The user name or the password is wrong."))
        else:
            locked = answer
            form.add_error(None, _locked_sentence(locked))
    response = render(request, "ui/sign_in.html", {"form": form, "next": onward}, status=429 if locked else 200)
    if locked:
        response.headers["Retry-After"] = str(_seconds_until(locked))
    return response


@before_password_change
@public
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End this session and show the sign-in page."""
    auth.logout(request)
    return HttpResponseRedirect(resolve_url("signin:sign-in"))


@before_password_change
@signed_in
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def change_password(request: HttpRequest) -> HttpResponse:
    """Set a new password: this session goes on under a new token, every other session of the account ends."""
    account = cast("Account", request.user)
    form = ChangePasswordForm(account, request.POST if request.method == "POST" else None)
    forced = account.must_change_password
    if request.method == "POST" and form.is_valid():
        if _change(request, account, form.cleaned_data["new_password1"]):
            messages.success(request, _("Your password is changed."))
            return HttpResponseRedirect(resolve_url(settings.LOGIN_REDIRECT_URL))
        form.add_error("old_password", _("The old password is wrong."))
    template = "ui/change_password_first.html" if forced else "ui/change_password.html"
    return render(request, template, {"form": form})


def _change(request: HttpRequest, account: Account, password: str) -> bool:
    """Set a new password and end what hung on the old one, all or nothing.

    Returns False if the password is not the one any more by which the form was checked: somebody has reset it.
    """
    checked = account.password
    account.set_password(password)
    account.must_change_password = False
    with transaction.atomic():
        if not auth.get_user_model()._default_manager.filter(pk=account.pk, password=checked).exists():
            return False
        account.save(update_fields=["password", "must_change_password"])
        update_session_auth_hash(request, cast("Any", account))
        password_changed.send(sender=auth.get_user_model(), request=request, account=account)
    return True


def _onward(request: HttpRequest) -> str:
    """Where to go after sign-in: the page asked for if it is one of this face, else the first page."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts=None, require_https=request.is_secure()):
        return wanted
    return resolve_url(settings.LOGIN_REDIRECT_URL)


def _seconds_until(locked: Locked) -> int:
    return max(1, math.ceil((locked.until - timezone.now()).total_seconds()))


def _locked_sentence(locked: Locked) -> str:
    until = timezone.localtime(locked.until)
    minutes = math.ceil(_seconds_until(locked) / 60)
    return _("Too many attempts with this user name from your address. Try again in %(minutes)d min, at %(time)s.") % {
        "minutes": minutes,
        "time": f"{date_format(until, 'H:i:s')} {until.tzname()}",
    }
