"""Consoles and the sign-in they hang on: who is signed out by what, and who is not."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from own_site import PASSWORD, enrolled

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account, WebSession
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.accounts.sessions import SessionStore
from staffetta.site.accounts.sign_ins import SignIn, signed_out, void_consoles
from staffetta.site.data import identity
from staffetta.site.data.models import Record, SiteInstance
from staffetta.site.support import service as support
from staffetta.site.support.models import LiveSession
from staffetta.ui.signin.sessions import ABSOLUTE_LIMIT, token_hash
from staffetta.wire.fields import to_base64url
from staffetta.wire.identity import SigningKey
from staffetta.wire.signed import CREDENTIAL_LIFE, Credential, make_credential, read_credential

pytestmark = [pytest.mark.django_db, pytest.mark.req("S1", "S12")]

ELSEWHERE = "/login/my-account/sign-out-elsewhere"
NEW = {"old_password": PASSWORD, "new_password1": PASSWORD + "!", "new_password2": PASSWORD + "!"}
Browser = Callable[..., Client]


@pytest.fixture
def rita(person: Callable[..., Account]) -> Account:
    return person("rita", Allowed.START_SESSIONS)


def credential_of(browser: Client) -> Credential:
    body = json.dumps({"public_key": to_base64url(SigningKey(os.urandom(32)).public)})
    answer = browser.post("/login/console/credential.json", body, "application/json")
    assert answer.status_code == 200, answer.content
    return read_credential(answer.json()["credential"], identity.site_identity().public, utc_now())


def console_in(browser: Client) -> SignIn:
    """What the gateway knows of a console that this browser has brought online."""
    credential = credential_of(browser)
    return SignIn(credential.rep, credential.web, credential.signed_in_since)


def console_at_terminal(account: Account) -> SignIn:
    key = identity.site_identity()
    account.refresh_from_db()
    token = make_credential(account.id, account.username, os.urandom(32), utc_now(), key, account.consoles_since)
    credential = read_credential(token, key.public, utc_now())
    return SignIn(credential.rep, credential.web, credential.signed_in_since)


def is_out(console: SignIn, under_way: bool | None = None) -> bool:
    """Whether a console is out for new sessions and for those under way, which must be the same unless one is named."""
    now = utc_now()
    new, going_on = (bool(signed_out({console}, now, under_way=each)) for each in (False, True))
    if under_way is None:
        assert new == going_on
    return going_on if under_way else new


def token_of(browser: Client) -> str:
    return browser.cookies["__Host-staffetta-site"].value


def test_a_credential_names_its_web_session_and_opens_nothing(browser: Browser, rita: Account) -> None:
    one, other = browser(rita), browser(rita)
    credential = credential_of(one)
    assert credential.web
    assert credential.web not in (token_of(one), token_hash(token_of(one)))
    assert credential_of(one).web == credential.web, "one web session, one name"
    assert credential_of(other).web not in ("", credential.web)
    stranger = browser()
    stranger.cookies["__Host-staffetta-site"] = credential.web
    assert stranger.get("/login/my-account").status_code == 302


def test_a_web_session_keeps_its_name_when_others_of_its_requests_save(browser: Browser, rita: Account) -> None:
    client = browser(rita)
    token = token_of(client)
    at_once = [SessionStore(token) for _ in range(2)]
    for one in at_once:
        one.load()
    names = {one.for_consoles() for one in at_once}
    for one in at_once:
        one["visited"] = True
        one.save()
    assert len(names) == 1
    assert names == {SessionStore(token).for_consoles(), WebSession.objects.get().console}
    assert "console" not in WebSession.objects.get().data


def test_a_web_session_that_was_ended_meanwhile_gets_no_name(browser: Browser, rita: Account) -> None:
    token = token_of(browser(rita))
    late = SessionStore(token)
    late.load()
    SessionStore.end_all_of(rita.id)
    with pytest.raises(SessionInterrupted):
        late.for_consoles()


def test_signing_out_elsewhere_reaches_every_console_but_this_browsers(browser: Browser, rita: Account) -> None:
    one, other = browser(rita), browser(rita)
    here, there, terminal = console_in(one), console_in(other), console_at_terminal(rita)
    assert not any(map(is_out, (here, there, terminal)))
    assert one.post(ELSEWHERE).status_code == 302
    assert [is_out(here), is_out(there), is_out(terminal)] == [False, True, True]
    assert not is_out(console_at_terminal(rita)), "who signs in again is in"
    assert not is_out(console_in(browser(rita)))
    assert Record.objects.filter(kind="audit", body__action="user.signed-out-elsewhere").count() == 1


def test_a_new_password_leaves_this_browsers_console_at_every_moment(browser: Browser, rita: Account) -> None:
    one, other = browser(rita), browser(rita)
    here, there, terminal = console_in(one), console_in(other), console_at_terminal(rita)
    before, looks = token_of(one), []

    def looking(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        """After whatever the request writes a gateway may look, which is another process."""
        done = execute(sql, *rest)
        if sql.startswith(("UPDATE", "INSERT", "DELETE")):
            looks.append(is_out(here))
        return done

    with connection.execute_wrapper(looking):
        assert one.post("/login/change-password", NEW).status_code == 302
    assert looks and not any(looks)
    assert token_of(one) != before
    assert [is_out(here), is_out(there), is_out(terminal)] == [False, True, True]
    assert credential_of(one).web == here.web


@pytest.mark.parametrize("act", [accounts.reset_password, accounts.disable])
def test_an_administrator_signs_out_all_of_them(
    browser: Browser, rita: Account, admin: Account, act: Callable[[Account, str], object]
) -> None:
    there, terminal = console_in(browser(rita)), console_at_terminal(rita)
    act(admin, rita.id)
    assert is_out(there) and is_out(terminal)
    accounts.enable(admin, rita.id)
    assert is_out(there) and is_out(terminal), "what was void stays so"


def test_a_reset_by_command_signs_out_too(browser: Browser, rita: Account) -> None:
    there, terminal = console_in(browser(rita)), console_at_terminal(rita)
    accounts.reset_password_by_command("rita")
    assert is_out(there) and is_out(terminal)


def test_signing_out_ends_this_browsers_console_alone(browser: Browser, rita: Account) -> None:
    one, other = browser(rita), browser(rita)
    here, there, terminal = console_in(one), console_in(other), console_at_terminal(rita)
    one.post("/login/sign-out")
    assert [is_out(here), is_out(there), is_out(terminal)] == [True, False, False]
    assert one.get("/login/my-account").status_code == 302


def test_a_session_under_way_goes_on_until_somebody_ends_the_web_session(browser: Browser, rita: Account) -> None:
    client = browser(rita)
    here = console_in(client)
    WebSession.objects.update(expires_at=utc_now() - timedelta(seconds=1))
    assert client.get("/login/my-account").status_code == 302
    assert is_out(here, under_way=False) and not is_out(here, under_way=True)
    WebSession.objects.update(started_at=utc_now() - ABSOLUTE_LIMIT)
    assert is_out(here, under_way=False) and not is_out(here, under_way=True)
    SessionStore.clear_expired()
    assert is_out(here, under_way=False) and not is_out(here, under_way=True)
    accounts.sign_out_elsewhere(rita, "")
    assert is_out(here)


def test_a_session_that_outlasts_what_is_kept_of_its_web_session_can_be_ended(browser: Browser, rita: Account) -> None:
    here = console_in(browser(rita))
    long_ago = utc_now() - ABSOLUTE_LIMIT - CREDENTIAL_LIFE
    WebSession.objects.update(started_at=long_ago, expires_at=long_ago + ABSOLUTE_LIMIT)
    SessionStore.clear_expired()
    assert not WebSession.objects.exists() and not is_out(here, under_way=True)
    accounts.reset_password_by_command("rita")
    assert is_out(here)


def test_a_web_session_that_has_not_come_here_yet_counts_until_the_account_says_otherwise(rita: Account) -> None:
    unknown = SignIn(rita.id, "opened-on-the-other-appliance", utc_now())
    assert not is_out(unknown)
    accounts.sign_out_elsewhere(rita, "")
    assert is_out(unknown)


def test_it_is_no_matter_whose_clock_is_behind(rita: Account) -> None:
    """The appliance that serves now is an hour behind the one that served before."""
    first = console_at_terminal(rita)
    void_consoles(rita, utc_now() + timedelta(hours=1))
    second = console_at_terminal(rita)
    assert [is_out(first), is_out(second)] == [True, False]
    accounts.sign_out_elsewhere(rita, "")
    assert is_out(second) and not is_out(console_at_terminal(rita))


def test_what_the_release_before_this_one_wrote_holds_as_it_did(browser: Browser, rita: Account) -> None:
    """Neither its credentials nor its sessions name a web session; signing out reaches them by their time."""
    old = Credential(rita.id, "rita", os.urandom(32), int((utc_now() + CREDENTIAL_LIFE).timestamp()))
    assert abs(old.signed_in_since - utc_now()) < timedelta(seconds=2)
    console = SignIn(rita.id, old.web, old.signed_in_since)
    opened = support.open_session(rita.id, enrolled("till"), "shell")
    assert LiveSession.objects.get(pk=opened.id).web is None
    assert not is_out(console) and not is_out(support.session(opened.id).sign_in)
    browser(rita).post(ELSEWHERE)
    assert is_out(console) and is_out(support.session(opened.id).sign_in)


def test_a_session_remembers_by_what_it_was_opened(browser: Browser, rita: Account) -> None:
    """A terminal's console that opens one in the seconds before it is closed gains nothing by it."""
    terminal, here = console_at_terminal(rita), console_in(browser(rita))
    browser(rita).post(ELSEWHERE)
    for console in (terminal, here):
        opened = support.open_session(rita.id, enrolled(console.web or "terminal"), "shell", sign_in=console)
        assert support.session(opened.id).sign_in == console
        assert is_out(support.session(opened.id).sign_in)


def test_an_ended_web_session_stays_ended_and_is_removed_in_time(browser: Browser, rita: Account) -> None:
    client = browser(rita)
    here = console_in(client)
    late = SessionStore(token_of(client))
    late["x"] = 1
    SessionStore(token_of(client)).delete()
    with pytest.raises(UpdateError):
        late.save()
    assert WebSession.objects.get().data == "{}"
    assert SessionStore(token_of(client)).load() == {}
    SessionStore.clear_expired()
    assert is_out(here)
    WebSession.objects.update(started_at=utc_now() - ABSOLUTE_LIMIT - CREDENTIAL_LIFE)
    SessionStore.clear_expired()
    assert not WebSession.objects.exists()


def test_one_without_a_console_is_removed_at_once(browser: Browser, rita: Account) -> None:
    browser(rita), browser(rita).post(ELSEWHERE)
    assert WebSession.objects.count() == 1


def test_many_are_asked_about_at_the_price_of_one(rita: Account) -> None:
    many = {SignIn(rita.id, f"web-{number}", utc_now()) for number in range(10_000)}
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert signed_out(many, utc_now(), under_way=True) == frozenset()
    assert len(queries) == 2
    with CaptureQueriesContext(connection) as none:
        signed_out((), utc_now(), under_way=True)
    assert len(none) == 0


def test_my_account_says_what_signing_out_elsewhere_does(browser: Browser, rita: Account) -> None:
    one, other = browser(rita), browser(rita)
    assert "in 1 other browser" in one.get("/login/my-account").text
    console_in(other)
    assert "in 1 other browser" in one.get("/login/my-account").text
    page = one.post(ELSEWHERE, follow=True).text
    assert "Signed in elsewhere</dt><dd>nowhere" in page
    assert "every console for the terminal" in page and ELSEWHERE in page, "terminals are not counted: offered always"


@pytest.mark.req("F2")
def test_a_backup_signs_nobody_out_of_what_it_does_not_hold(browser: Browser, rita: Account) -> None:
    one, other = browser(rita), browser(rita)
    identity.ensure()
    SiteInstance.objects.update(role="backup")
    assert one.post(ELSEWHERE).status_code == 409
    assert other.get("/login/my-account").status_code == 200
