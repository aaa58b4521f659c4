"""Where to dial next, whom to believe, when to ping and when to give up."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from staffetta.wire.addresses import AddressBook
from staffetta.wire.errors import CloseCode, NotProven
from staffetta.wire.identity import SigningKey
from staffetta.wire.liveness import Liveness, Reconnect
from staffetta.wire.signed import Statement

SITE = SigningKey(b"s" * 32)


def token(term: int, sequence: int, *addresses: str, leaf: bytes = b"l" * 32, site: str = "site-1") -> str:
    return Statement(site, (leaf,), addresses or ("shared:443", "a:443", "b:443"), term, sequence, 1).sign(SITE)


def test_each_address_is_tried_once_then_all_again() -> None:
    book = AddressBook(SITE.public, ("installer:443", "a:443"), token(1, 1))
    assert [book.next() for _ in range(5)] == ["shared:443", "a:443", "b:443", "installer:443", "shared:443"]


def test_what_worked_comes_first_and_what_a_move_named_before_it() -> None:
    book = AddressBook(SITE.public, ("shared:443",), token(1, 1))
    book.succeeded("b:443")
    assert book.next() == "b:443"
    book.follow(("new:443",), 1)
    assert [book.next(), book.next()] == ["new:443", "b:443"]
    book.follow(None, 1)
    assert book.next() == "b:443"
    book.follow(("stale:443",), 0)
    assert "stale:443" not in book.addresses


def test_an_address_the_site_no_longer_has_is_not_kept_for_having_worked() -> None:
    book = AddressBook(SITE.public, (), token(1, 1, "old:1", "a:1"))
    book.succeeded("old:1")
    book.adopt(token(1, 2, "a:1", "b:1"))
    assert book.addresses == ("a:1", "b:1")


def test_a_book_without_an_address_says_what_to_do() -> None:
    with pytest.raises(NotProven, match="enrol"):
        AddressBook(SITE.public, ()).next()


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_newest_statement_wins_in_any_order_of_arrival(versions: list[tuple[int, int]]) -> None:
    book = AddressBook(SITE.public, ("a:1",))
    for index, (term, sequence) in enumerate(versions):
        before = (book.statement.term, book.statement.sequence) if book.statement else (-1, -1)
        assert book.adopt(token(term, sequence, f"x{index}:1")) == ((term, sequence) > before)
    newest = max(versions)
    assert book.statement is not None
    assert (book.statement.term, book.statement.sequence) == newest
    assert book.addresses[0] == f"x{versions.index(newest)}:1"
    assert book.term == newest[0]


def test_only_the_newest_statement_says_who_the_site_is() -> None:
    book = AddressBook(SITE.public, ("a:1",))
    with pytest.raises(NotProven):
        book.check_peer(b"l" * 32)
    book.adopt(token(1, 1))
    book.check_peer(b"l" * 32)
    book.adopt(token(1, 2, leaf=b"m" * 32))
    book.adopt(token(1, 1))
    with pytest.raises(NotProven):
        book.check_peer(b"l" * 32)
    assert AddressBook(SITE.public, (), book.token).statement == book.statement


def test_a_foreign_statement_is_refused() -> None:
    book = AddressBook(SITE.public, ("a:1",), token(1, 1))
    with pytest.raises(NotProven):
        book.adopt(Statement("site-1", (b"l" * 32,), ("evil:1",), 9, 9, 1).sign(SigningKey(b"x" * 32)))
    with pytest.raises(NotProven):
        book.adopt(token(9, 9, site="site-2"))
    assert book.addresses == ("shared:443", "a:443", "b:443", "a:1")


def test_the_waits_between_attempts() -> None:
    reconnect = Reconnect(0.0)
    assert [reconnect.delay(0.0) for _ in range(9)] == [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert reconnect.delay(1.0) == 1.0
    reconnect.succeeded(5.0)
    assert reconnect.delay(0.5) == 0.0


def test_when_to_give_up() -> None:
    reconnect = Reconnect(0.0)
    reconnect.failed(CloseCode.SILENT)
    reconnect.failed(None)
    reconnect.failed(CloseCode.FENCED)
    assert reconnect.given_up(299.9) is None
    assert reconnect.given_up(300.0) is not None
    assert Reconnect(0.0, give_up_after=None).given_up(1e9) is None
    for code in (4401, 4403, 4404, 4410):
        reconnect = Reconnect(0.0)
        reconnect.failed(code)
        assert reconnect.given_up(0.0) is not None


def test_pings_every_second_and_dead_after_two_of_silence() -> None:
    liveness = Liveness(10.0)
    assert not liveness.ping_due(10.9)
    assert liveness.next_look() == 11.0
    assert liveness.ping_due(11.0)
    assert not liveness.ping_due(11.5)
    assert not liveness.dead(11.9)
    assert liveness.dead(12.0)
    liveness.heard(11.9)
    assert not liveness.dead(13.8)
    assert liveness.dead(13.9)
    idle = Liveness(0.0, ping_every=20.0)
    assert idle.ping_due(20.0)
    assert not idle.dead(39.9)
    assert idle.dead(40.0)
