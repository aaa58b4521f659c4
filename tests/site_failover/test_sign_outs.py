"""Who is signed out stays so on the other appliance, and nobody is for want of what data-sync has not brought."""

import contextlib
import itertools
from datetime import timedelta

import pytest
from django.contrib.auth import SESSION_KEY

from site_failover.sites import Site, round_of, swap
from staffetta.kernel.clock import utc_now
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account, WebSession
from staffetta.site.accounts.sessions import SessionStore
from staffetta.site.accounts.sign_ins import SignIn, signed_out
from staffetta.site.data.models import KeptDocument
from staffetta.site.failover.errors import PeerUnreachable
from staffetta.site.fleet.models import JumpClient
from staffetta.site.support import service as support

pytestmark = [pytest.mark.usefixtures("template"), pytest.mark.req("F5", "S12")]


def signed_in(rita: Account) -> tuple[str, SignIn]:
    """A browser with a console: the token, and what the gateway knows of the console."""
    store = SessionStore()
    store.create()
    store[SESSION_KEY] = rita.pk
    store.save()
    web = store.for_consoles()
    return str(store.session_key), SignIn(rita.pk, web, utc_now())


def out(*consoles: SignIn, under_way: bool = True) -> list[bool]:
    found = signed_out(consoles, utc_now(), under_way=under_way)
    return [one in found for one in consoles]


def rita() -> Account:
    return Account.objects.get(username="rita")


@pytest.fixture
def with_rita(pair: tuple[Site, Site]) -> tuple[Site, Site]:
    """A pair in step, with somebody in it."""
    a, b = pair
    with a:
        Account.objects.create_account("rita", "a password of hers", is_superuser=True)
    round_of(a, b)
    round_of(b, a)
    return a, b


def test_a_swing_keeps_who_is_signed_in_and_who_is_out(with_rita: tuple[Site, Site]) -> None:
    a, b = with_rita
    with a:
        client = JumpClient.objects.create(
            name="till", public_key=b"k" * 32, platform={}, enrolled_at=utc_now(), enrolled_by_token="t"
        )
        token, here = signed_in(rita())
        _, there = signed_in(rita())
        terminal = SignIn(rita().pk, "", utc_now())
        sessions = [
            support.open_session(rita().pk, client.pk, "shell", sign_in=one).id for one in (here, there, terminal)
        ]
    round_of(b, a)
    with b:
        assert out(here, there, terminal) == [False] * 3
    with a:
        accounts.sign_out_elsewhere(rita(), token)
    round_of(b, a)
    swap(a, b)
    for site in (b, a):
        with site:
            assert out(here, there, terminal) == [False, True, True], site.name
            known = [support.session(session).sign_in for session in sessions]
            assert out(*known) == [False, True, True], site.name
            assert not KeptDocument.objects.exists()
    with b:
        accounts.sign_out_elsewhere(rita(), "")
        assert out(here) == [True]


def test_a_web_session_that_the_dead_primary_did_not_tell_of_signs_nobody_out(with_rita: tuple[Site, Site]) -> None:
    a, b = with_rita
    with a:
        _, here = signed_in(rita())
        opened_at = utc_now()
    swap(a, b)  # A died before the next round
    with b:
        assert not WebSession.objects.filter(console=here.web).exists()
        assert out(here) == [False]
        assert out(here, under_way=False) == [False]
        taken_up = support.take_up("s1", "shell", rita().pk, "c1", True, opened_at, utc_now())
        assert out(taken_up.sign_in) == [False]
        accounts.reset_password_by_command("rita")
        assert out(here, taken_up.sign_in) == [True, True], "but it can be signed out from then on"


@pytest.mark.parametrize("sign_out", [True, False])
def test_sessions_under_way_outlive_a_data_sync_that_lay_still(with_rita: tuple[Site, Site], sign_out: bool) -> None:
    """The new primary has not heard for two hours that a browser was used: it holds; that it was signed out counts."""
    a, b = with_rita
    with a:
        token, here = signed_in(rita())
        if sign_out:
            SessionStore(token).delete()
    round_of(b, a)
    swap(a, b)
    with b:
        WebSession.objects.filter(ended_at=None).update(expires_at=utc_now() - timedelta(hours=1))
        assert out(here) == [sign_out]


@pytest.mark.parametrize("number", range(8))
def test_a_round_that_breaks_anywhere_signs_nobody_out(with_rita: tuple[Site, Site], number: int) -> None:
    """A person changes the password just then: the end of the old row must not come without the new one."""
    a, b = with_rita
    with a:
        token, here = signed_in(rita())
    round_of(b, a)
    with a:
        store = SessionStore(token)
        store.load()
        store.cycle_key()
    words = itertools.count()
    with contextlib.suppress(PeerUnreachable):
        round_of(b, a, lambda: next(words) == number)
    with b:
        assert out(here) == [False]
    round_of(b, a)
    with b:
        assert out(here) == [False]
        assert WebSession.objects.filter(console=here.web).count() == 2
