"""Pages of accounts: Users & security > Users, and My account."""

from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from staffetta.site.accounts import service
from staffetta.site.accounts.errors import AccountsError
from staffetta.site.accounts.forms import NewAccountForm, RightsForm
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import LABELS, Allowed
from staffetta.site.accounts.service import OneTimePassword
from staffetta.site.accounts.sessions import SessionStore
from staffetta.ui.signin.access import needs, signed_in


@signed_in
@require_safe
def mine(request: HttpRequest) -> HttpResponse:
    """My account: name, what it may do, where it is signed in."""
    account = _person(request)
    elsewhere = SessionStore.count_others_of(account.pk, request.session.session_key or "")
    shown = service.summary(account.pk)
    allowed = frozenset(Allowed) if shown.administrator else shown.allowed
    return render(
        request,
        "accounts/mine.html",
        {"account": shown, "allowed": [LABELS[item] for item in Allowed if item in allowed], "elsewhere": elsewhere},
    )


@signed_in
@require_POST
def sign_out_elsewhere(request: HttpRequest) -> HttpResponse:
    """End every other web session of this account, and every console but this browser's."""
    service.sign_out_elsewhere(_person(request), request.session.session_key or "")
    messages.success(request, _("You are signed out everywhere else."))
    return HttpResponseRedirect(reverse("accounts:mine"))


@needs(Allowed.MANAGE_USERS.full)
@require_safe
def users(request: HttpRequest) -> HttpResponse:
    """The list of users."""
    rows = [(row, [LABELS[item] for item in Allowed if item in row.allowed]) for row in service.list_accounts()]
    return render(request, "accounts/users.html", {"rows": rows})


@needs(Allowed.MANAGE_USERS.full)
@require_http_methods(["GET", "HEAD", "POST"])
def new_user(request: HttpRequest) -> HttpResponse:
    """Make an account and show its one-time password, once."""
    form = NewAccountForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            made = service.make_account(
                _person(request),
                form.cleaned_data["username"],
                form.rights(),
                form.cleaned_data["administrator"],
            )
        except AccountsError as error:
            form.add_error(None, error.message)
        else:
            return _show_password(request, made, _("The user is made."))
    return render(request, "accounts/new_user.html", {"form": form})


@needs(Allowed.MANAGE_USERS.full)
@require_http_methods(["GET", "HEAD", "POST"])
def user(request: HttpRequest, account_id: str) -> HttpResponse:
    """One user: what they may do, and the ways to keep them out."""
    shown = service.summary(account_id)
    form = RightsForm(
        request.POST if request.method == "POST" else None,
        initial={"permissions": [item.value for item in shown.allowed], "administrator": shown.administrator},
    )
    if request.method == "POST" and form.is_valid():
        try:
            service.change_rights(_person(request), account_id, form.rights(), form.cleaned_data["administrator"])
        except AccountsError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(reverse("accounts:user", args=[account_id]))
    return render(
        request, "accounts/user.html", {"account": shown, "form": form, "own": shown.id == _person(request).pk}
    )


@needs(Allowed.MANAGE_USERS.full)
@require_POST
def disable(request: HttpRequest, account_id: str) -> HttpResponse:
    """Let nobody sign in to the account."""
    service.disable(_person(request), account_id)
    messages.success(request, _("The user is disabled and signed out."))
    return HttpResponseRedirect(reverse("accounts:user", args=[account_id]))


@needs(Allowed.MANAGE_USERS.full)
@require_POST
def enable(request: HttpRequest, account_id: str) -> HttpResponse:
    """Let the account be signed in to again."""
    service.enable(_person(request), account_id)
    messages.success(request, _("The user is enabled."))
    return HttpResponseRedirect(reverse("accounts:user", args=[account_id]))


@needs(Allowed.MANAGE_USERS.full)
@require_POST
def reset_password(request: HttpRequest, account_id: str) -> HttpResponse:
    """Give the account a one-time password and show it, once."""
    made = service.reset_password(_person(request), account_id)
    return _show_password(request, made, _("The password is reset."))


def _show_password(request: HttpRequest, made: OneTimePassword, done: str) -> HttpResponse:
    return render(request, "accounts/one_time_password.html", {"made": made, "done": done})


def _person(request: HttpRequest) -> Account:
    return cast("Account", request.user)
