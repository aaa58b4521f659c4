"""Signing in to the site: the forced first change, the throttle, hashed sessions, and the console's door."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from own_site import PASSWORD

from staffetta.site.accounts import service
from staffetta.site.accounts.errors import SignInRefused
from staffetta.site.accounts.models import Account, WebSession
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data.models import Record
from staffetta.ui.signin.limits import FAILURE_LIMIT
from staffetta.ui.signin.sessions import token_hash

pytestmark = pytest.mark.django_db
INFORMATION = "/login/status/information"


def _sign_in(client: Client, name: str, password: str) -> "object":
    return client.post("/login/sign-in", {"username": name, "password": password})


@pytest.mark.req("H3")
def test_the_first_sign_in_must_change_the_password(browser: Callable[..., Client]) -> None:
    client = browser()
    assert client.get("/login").status_code == 200
    assert _sign_in(client, "admin", "password")["Location"] == "/login/change-password"
    for address in (INFORMATION, "/login/users", "/login/reports/sessions.json"):
        answer = client.get(address)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/login/change-password")
    change = {"old_password": "password", "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert client.post("/login/change-password", change)["Location"] == INFORMATION
    assert client.get(INFORMATION).status_code == 200
    again = browser()
    assert _sign_in(again, "admin", "password").status_code == 200
    assert _sign_in(again, "admin", PASSWORD)["Location"] == INFORMATION


@pytest.mark.req("H3")
def test_the_first_account_is_made_once(admin: Account) -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    assert Account.objects.get().check_password(PASSWORD)


def test_too_many_failures_lock_and_say_until_when(browser: Callable[..., Client], admin: Account) -> None:
    client = browser()
    answers = [_sign_in(client, "admin", "wrong") for _ in range(FAILURE_LIMIT)]
    assert [answer.status_code for answer in answers] == [200] * (FAILURE_LIMIT - 1) + [429]
    refused = _sign_in(client, "admin", PASSWORD)
    assert refused.status_code == 429
    assert "Try again in 5 min" in refused.text
    assert 0 < int(refused["Retry-After"]) <= 300
    elsewhere = Client(headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.4"})
    assert _sign_in(elsewhere, "admin", PASSWORD)["Location"] == INFORMATION


def test_the_lock_is_in_the_database_and_shared_with_the_console(
    browser: Callable[..., Client], admin: Account
) -> None:
    client = browser()
    for _ in range(FAILURE_LIMIT):
        _sign_in(client, "admin", "wrong")
    with pytest.raises(SignInRefused) as refused:
        service.authenticate_console("admin", PASSWORD, "192.0.2.7")
    assert refused.value.reason == "locked"
    assert 0 < (refused.value.retry_seconds or 0) <= 300
    assert service.authenticate_console("admin", PASSWORD, "192.0.2.8").name == "admin"


def test_a_session_is_stored_by_its_hash_only(browser: Callable[..., Client], admin: Account) -> None:
    client = browser()
    _sign_in(client, "admin", PASSWORD)
    token = client.cookies["__Host-staffetta-site"].value
    row = WebSession.objects.get()
    assert row.pk == token_hash(token)
    assert token not in str(WebSession.objects.values())
    assert row.account_id == admin.pk


def test_a_session_outlives_a_change_of_the_appliances_key(
    browser: Callable[..., Client], admin: Account, settings: "object"
) -> None:
    """Sessions are replicated: the backup has another secret key and must not sign anybody out."""
    client = browser()
    _sign_in(client, "admin", PASSWORD)
    settings.SECRET_KEY = "the other appliance's"  # type: ignore[attr-defined]
    assert client.get(INFORMATION).status_code == 200


def test_a_new_password_ends_the_other_sessions(browser: Callable[..., Client], admin: Account) -> None:
    one, other = browser(), browser()
    _sign_in(one, "admin", PASSWORD)
    _sign_in(other, "admin", PASSWORD)
    new = {"old_password": PASSWORD, "new_password1": PASSWORD + "!", "new_password2": PASSWORD + "!"}
    assert one.post("/login/change-password", new)["Location"] == INFORMATION
    assert one.get(INFORMATION).status_code == 200
    assert other.get(INFORMATION).status_code == 302


def test_signing_out_ends_the_session(browser: Callable[..., Client], admin: Account) -> None:
    client = browser()
    _sign_in(client, "admin", PASSWORD)
    client.post("/login/sign-out")
    assert client.get(INFORMATION).status_code == 302
    assert not WebSession.objects.exists()


def test_signing_out_elsewhere_leaves_this_session(browser: Callable[..., Client], admin: Account) -> None:
    one, other = browser(), browser()
    _sign_in(one, "admin", PASSWORD)
    _sign_in(other, "admin", PASSWORD)
    one.post("/login/my-account/sign-out-elsewhere")
    assert one.get("/login/my-account").status_code == 200
    assert other.get(INFORMATION).status_code == 302


def test_an_expired_session_is_over(browser: Callable[..., Client], admin: Account) -> None:
    client = browser(admin)
    WebSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(INFORMATION).status_code == 302


def test_a_form_of_another_site_is_refused(browser: Callable[..., Client], admin: Account) -> None:
    client = browser(admin, enforce_csrf_checks=True)
    assert client.post("/login/users/new", {"username": "eve"}).status_code == 403
    assert not Account.objects.filter(username="eve").exists()


def test_the_console_signs_in_with_what_the_account_may(person: Callable[..., Account]) -> None:
    account = person("rita", Allowed.START_SESSIONS)
    rep = service.authenticate_console("Rita", PASSWORD, "192.0.2.9")
    assert (rep.id, rep.name, rep.permissions) == (account.pk, "rita", {"start_sessions"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"must_change_password": True}, "password-change-needed"),
        ({"is_active": False}, "wrong-password"),
        ({}, "may-not-start-sessions"),
    ],
)
def test_the_console_is_refused_with_a_reason(
    person: Callable[..., Account], change: dict[str, bool], reason: str
) -> None:
    account = person("rita", *(() if reason == "may-not-start-sessions" else (Allowed.START_SESSIONS,)))
    Account.objects.filter(pk=account.pk).update(**change)
    with pytest.raises(SignInRefused) as refused:
        service.authenticate_console("rita", PASSWORD, "192.0.2.9")
    assert refused.value.reason == reason


def test_sign_ins_are_written_down(browser: Callable[..., Client], admin: Account) -> None:
    client = browser()
    _sign_in(client, "admin", "wrong")
    _sign_in(client, "admin", PASSWORD)
    client.post("/login/sign-out")
    acts = [record.body["action"] for record in Record.objects.filter(kind="audit").order_by("pk")]
    assert acts == ["user.sign-in-failed", "user.signed-in", "user.signed-out"]
    assert Record.objects.filter(kind="audit", body__detail__from="192.0.2.7").count() == 3
    assert PASSWORD not in str(Record.objects.values())
