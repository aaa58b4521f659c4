"""Signing in: the first password must be changed, guesses are throttled, tokens are stored as hashes."""

import hashlib
import statistics
import time
from datetime import timedelta
from unittest import mock

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.backends.base import UpdateError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from staffetta.base.web.models import Account, Session
from staffetta.base.web.sessions import SessionStore
from staffetta.ui.signin.accounts import FIRST_PASSWORD, first_password_stands, seed_admin
from staffetta.ui.signin.forms import ChangePasswordForm
from staffetta.ui.signin.limits import COOL_OFF, FAILURE_LIMIT
from staffetta.ui.signin.sessions import ABSOLUTE_LIMIT, IDLE_LIMIT, token_hash
from staffetta.ui.signin.signals import password_changed
from staffetta.ui.signin.throttle import Locked, WrongPassword, authenticate_from

from .conftest import NEW_PASSWORD

SIGN_IN = "/appliance/sign-in"
CHANGE = "/appliance/change-password"
SIGN_OUT = "/appliance/sign-out"


def sign_in(browser: Client, username: str = "admin", password: str = NEW_PASSWORD, **more: str) -> object:
    return browser.post(SIGN_IN, {"username": username, "password": password, **more})


def token_of(browser: Client) -> str:
    return browser.cookies[settings.SESSION_COOKIE_NAME].value


@pytest.mark.req("H3")
def test_the_first_account_is_made_once(fresh: Account) -> None:
    assert (fresh.username, fresh.must_change_password, fresh.is_superuser) == ("admin", True, True)
    assert fresh.check_password("password")
    assert seed_admin(Account) is None
    fresh.username = "somebody-else"
    fresh.save()
    assert seed_admin(Account) is None
    assert Account.objects.count() == 1


@pytest.mark.req("H3")
def test_the_first_password_stands_until_it_is_changed_and_a_reset_does_not_bring_it_back(fresh: Account) -> None:
    assert first_password_stands(Account)
    for must_change in (False, True):
        fresh.must_change_password = must_change
        fresh.set_password(NEW_PASSWORD)
        fresh.save()
        assert not first_password_stands(Account)


@pytest.mark.req("H3")
def test_until_the_first_password_is_changed_nothing_else_is_reachable(browser: Client, fresh: Account) -> None:
    answer = sign_in(browser, password=FIRST_PASSWORD)
    assert answer["Location"] == CHANGE
    for name in ("home", "updates", "certificates"):
        assert browser.get(reverse(name))["Location"].startswith(CHANGE)
    assert browser.get(reverse("job-events", args=["x"]), headers={"accept": "text/event-stream"}).status_code == 403
    assert browser.post(reverse("check"), headers={"accept": "application/json"}).status_code == 403
    assert browser.post(reverse("check"), headers={"accept": "text/html"})["Location"] == CHANGE
    assert browser.get(reverse("static", args=["ui/own.css"])).status_code == 200
    page = browser.get(CHANGE)
    assert page.status_code == 200
    assert "This password was given to you." in page.content.decode()
    assert browser.post(SIGN_OUT)["Location"] == SIGN_IN
    assert browser.get(reverse("home"))["Location"].startswith(SIGN_IN)


@pytest.mark.req("H3")
@pytest.mark.parametrize(
    ("old", "new", "again", "words"),
    [
        (FIRST_PASSWORD, "short-one", "short-one", "too short"),
        (FIRST_PASSWORD, "password", "password", "must differ from the old one"),
        (FIRST_PASSWORD, "1q2w3e4r5t6y", "1q2w3e4r5t6y", "too common"),
        (FIRST_PASSWORD, "837462519375", "837462519375", "entirely numeric"),
        (FIRST_PASSWORD, NEW_PASSWORD, NEW_PASSWORD + "x", "The two new passwords differ."),
        ("wrong", NEW_PASSWORD, NEW_PASSWORD, "The old password is wrong."),
    ],
)
def test_a_bad_new_password_is_refused_with_the_reason(
    browser: Client, fresh: Account, old: str, new: str, again: str, words: str
) -> None:
    sign_in(browser, password=FIRST_PASSWORD)
    answer = browser.post(CHANGE, {"old_password": old, "new_password1": new, "new_password2": again})
    assert answer.status_code == 200
    assert words in answer.content.decode()
    fresh.refresh_from_db()
    assert fresh.must_change_password
    assert fresh.check_password(FIRST_PASSWORD)


@pytest.mark.req("H3")
def test_a_password_is_not_changed_if_what_hangs_on_it_cannot_be_ended(browser: Client, fresh: Account) -> None:
    sign_in(browser, password=FIRST_PASSWORD)
    before = token_of(browser)
    browser.raise_request_exception = False
    failing = mock.Mock(side_effect=RuntimeError)
    password_changed.connect(failing)
    try:
        answer = browser.post(
            CHANGE, {"old_password": FIRST_PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
        )
    finally:
        password_changed.disconnect(failing)
    assert answer.status_code == 500
    fresh.refresh_from_db()
    assert fresh.check_password(FIRST_PASSWORD) and fresh.must_change_password
    assert token_of(browser) == before
    assert browser.get(CHANGE).status_code == 200, "the session goes on as it was"


@pytest.mark.req("H3", "S12")
def test_a_password_that_was_reset_while_it_was_changed_stays_the_reset_one(browser: Client, fresh: Account) -> None:
    sign_in(browser, password=FIRST_PASSWORD)
    whole = ChangePasswordForm.is_valid

    def reset_then(form: ChangePasswordForm) -> bool:
        valid = whole(form)
        other = type(fresh).objects.get(pk=fresh.pk)
        other.set_password("what the administrator gave")
        other.save()
        return valid

    with mock.patch.object(ChangePasswordForm, "is_valid", reset_then):
        answer = browser.post(
            CHANGE, {"old_password": FIRST_PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
        )
    assert answer.status_code == 200
    assert "The old password is wrong." in answer.content.decode()
    fresh.refresh_from_db()
    assert fresh.check_password("what the administrator gave")


@pytest.mark.req("H3")
def test_changing_the_password_opens_the_pages_rotates_this_session_and_ends_the_others(
    browser: Client, fresh: Account
) -> None:
    other = Client(SERVER_NAME="localhost", headers={"x-forwarded-proto": "https"})
    sign_in(other, password=FIRST_PASSWORD)
    sign_in(browser, password=FIRST_PASSWORD)
    before = token_of(browser)
    heard = mock.Mock()
    password_changed.connect(heard)
    try:
        answer = browser.post(
            CHANGE, {"old_password": FIRST_PASSWORD, "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
        )
    finally:
        password_changed.disconnect(heard)
    assert answer["Location"] == reverse("home")
    assert heard.call_args.kwargs["account"] == fresh
    assert token_of(browser) != before
    assert not SessionStore().exists(before)
    assert browser.get(CHANGE).status_code == 200
    assert other.get(CHANGE)["Location"].startswith(SIGN_IN)
    fresh.refresh_from_db()
    assert not fresh.must_change_password


def test_the_token_is_stored_only_as_its_hash_and_drawn_anew_at_sign_in(browser: Client, admin: Account) -> None:
    browser.get(SIGN_IN)
    sign_in(browser)
    cookie = browser.cookies[settings.SESSION_COOKIE_NAME]
    assert cookie.key == "__Host-staffetta-appliance"
    assert cookie["secure"] is True
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert (cookie["path"], cookie["domain"]) == ("/", "")
    assert len(cookie.value) >= 43
    row = Session.objects.get()
    assert row.token_hash == hashlib.sha256(cookie.value.encode()).hexdigest()
    assert row.account_id == admin.id
    assert cookie.value not in row.data
    stored = browser.cookies[settings.SESSION_COOKIE_NAME].value
    browser.cookies[settings.SESSION_COOKIE_NAME] = row.token_hash
    assert browser.get(CHANGE)["Location"].startswith(SIGN_IN), "the stored hash must not open the session"
    browser.cookies[settings.SESSION_COOKIE_NAME] = stored
    assert browser.get(CHANGE).status_code == 200


def test_a_session_given_by_an_attacker_is_not_taken_over(browser: Client, admin: Account) -> None:
    planted = SessionStore()
    planted["seen"] = True
    planted.save()
    assert planted.session_key is not None
    browser.cookies[settings.SESSION_COOKIE_NAME] = planted.session_key
    sign_in(browser)
    assert token_of(browser) != planted.session_key
    assert not SessionStore().exists(planted.session_key)


def test_a_session_ends_when_it_is_idle_and_after_its_whole_time(browser: Client, admin: Account) -> None:
    sign_in(browser)
    start = timezone.now()
    # Used every half hour it lives on, until its whole time is over.
    at, step = timedelta(), IDLE_LIMIT / 2
    while at + step < ABSOLUTE_LIMIT:
        at += step
        with mock.patch("django.utils.timezone.now", return_value=start + at):
            assert browser.get(CHANGE).status_code == 200, at
    with mock.patch("django.utils.timezone.now", return_value=start + ABSOLUTE_LIMIT + timedelta(seconds=1)):
        assert browser.get(CHANGE)["Location"].startswith(SIGN_IN)
        SessionStore.clear_expired()
    assert not Session.objects.exists()

    sign_in(browser)
    with mock.patch("django.utils.timezone.now", return_value=timezone.now() + IDLE_LIMIT + timedelta(seconds=1)):
        assert browser.get(CHANGE)["Location"].startswith(SIGN_IN)


def test_reading_pages_writes_the_session_at_most_once_a_minute(browser: Client, admin: Account) -> None:
    sign_in(browser)
    browser.get(CHANGE)
    before = Session.objects.get().expires_at
    browser.get(CHANGE)
    assert Session.objects.get().expires_at == before


def test_a_session_that_was_ended_does_not_come_back(admin: Account) -> None:
    store = SessionStore()
    store["_auth_user_id"] = admin.id
    store.save()
    assert store.session_key is not None
    late = SessionStore(store.session_key)
    late["late"] = True
    assert SessionStore.end_all_of(admin.id) == 1
    with pytest.raises(UpdateError):
        late.save()
    assert not Session.objects.filter(token_hash=token_hash(store.session_key)).exists()


def test_signing_out_deletes_the_session_and_needs_a_form(browser: Client, admin: Account) -> None:
    sign_in(browser)
    assert browser.get(SIGN_OUT).status_code == 405
    strict = Client(SERVER_NAME="localhost", enforce_csrf_checks=True, headers={"x-forwarded-proto": "https"})
    strict.cookies = browser.cookies
    refused = strict.post(SIGN_OUT)
    assert refused.status_code == 403
    assert "This form is too old" in refused.content.decode()
    assert Session.objects.count() == 1
    browser.post(SIGN_OUT)
    assert not Session.objects.exists()


def test_next_leads_only_to_pages_of_this_face(browser: Client, admin: Account) -> None:
    assert sign_in(browser, next="/appliance/updates")["Location"] == "/appliance/updates"
    for foreign in ("https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"):
        assert sign_in(browser, next=foreign)["Location"] == reverse("home")


def test_guesses_are_throttled_and_the_page_says_when_to_try_again(browser: Client, admin: Account) -> None:
    for _ in range(FAILURE_LIMIT - 1):
        answer = sign_in(browser, password="wrong")
        assert answer.status_code == 200
        assert "The user name or the password is wrong." in answer.content.decode()
    locked = sign_in(browser, username=" ADMIN ", password="wrong")
    assert locked.status_code == 429
    assert 0 < int(locked["Retry-After"]) <= COOL_OFF.total_seconds()
    right = sign_in(browser)
    assert right.status_code == 429, "locked: the right password does not help either"
    page = right.content.decode()
    assert "Try again in 5 min, at " in page
    assert "UTC" in page

    # Another address is not locked out by it, and the lock ends by itself.
    elsewhere = authenticate_from("203.0.113.9", "admin", NEW_PASSWORD)
    assert isinstance(elsewhere, Account)
    later = timezone.now() + COOL_OFF + timedelta(seconds=2)
    with mock.patch("axes.handlers.proxy.now", return_value=later):
        assert sign_in(browser)["Location"] == reverse("home")


def test_trying_while_locked_does_not_prolong_the_lock(admin: Account) -> None:
    for _ in range(FAILURE_LIMIT):
        authenticate_from("203.0.113.7", "admin", "wrong")
    first = authenticate_from("203.0.113.7", "admin", "wrong")
    second = authenticate_from("203.0.113.7", "admin", NEW_PASSWORD)
    assert isinstance(first, Locked)
    assert isinstance(second, Locked)
    assert first.until == second.until


def test_success_forgets_earlier_failures(admin: Account) -> None:
    for _ in range(3):
        for _ in range(FAILURE_LIMIT - 1):
            assert authenticate_from("203.0.113.8", "admin", "wrong") == WrongPassword()
        assert authenticate_from("203.0.113.8", "admin", NEW_PASSWORD) == admin


def test_the_address_counted_is_the_one_the_door_saw(browser: Client, admin: Account) -> None:
    for guess in range(FAILURE_LIMIT):
        browser.post(
            SIGN_IN,
            {"username": "admin", "password": "wrong"},
            headers={"x-forwarded-for": f"198.51.100.{guess}, 203.0.113.5"},
        )
    assert isinstance(authenticate_from("203.0.113.5", "admin", NEW_PASSWORD), Locked)
    assert authenticate_from("198.51.100.1", "admin", NEW_PASSWORD) == admin


def test_names_that_do_not_exist_are_answered_and_timed_alike(settings: object, admin: Account) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]  # type: ignore[attr-defined]
    admin.password = make_password(NEW_PASSWORD)
    admin.save()
    off = Account.objects.create_account("left", NEW_PASSWORD, is_active=False)

    def seconds(name: str, address: str) -> float:
        begun = time.process_time()
        assert authenticate_from(address, name, NEW_PASSWORD if name == off.username else "wrong") == WrongPassword()
        return time.process_time() - begun

    authenticate_from("203.0.113.1", "warm-up", "wrong")
    times = {
        name: statistics.median(seconds(name, f"203.0.113.{10 * number + turn}") for turn in range(5))
        for number, name in enumerate(("admin", "nobody", "left"))
    }
    assert max(times.values()) < 2 * min(times.values()), times
    for _ in range(FAILURE_LIMIT):
        authenticate_from("203.0.113.99", "nobody", "wrong")
    assert isinstance(authenticate_from("203.0.113.99", "nobody", "wrong"), Locked)
