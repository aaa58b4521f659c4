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


def token(
    term: int,
    sequence: int,
    *addresses: str,
    leaf: bytes = b"l" * 32,
    site: str = "site-1",
    issued: int = 1,
    appliance: str = "",
) -> str:
    where = addresses or ("shared:443", "a:443", "b:443")
    return Statement(site, (leaf,), where, term, sequence, issued, appliance).sign(SITE)


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


@pytest.mark.req("F4")
def test_a_pointer_goes_first_and_who_gave_it_comes_last() -> None:
    book = AddressBook(SITE.public, ("installer:443",), token(2, 1))
    book.succeeded("a:443")
    assert book.follow(("b:443",), 2, "a:443")
    assert book.named
    assert book.addresses == ("b:443", "shared:443", "installer:443", "a:443")
    assert [book.next() for _ in range(5)] == ["b:443", "shared:443", "installer:443", "a:443", "a:443"]
    assert not book.named, "tried in vain: the usual order again"


@pytest.mark.req("F11")
def test_a_pointer_of_an_older_term_than_known_is_ignored() -> None:
    book = AddressBook(SITE.public, (), token(3, 1))
    assert not book.follow(("stale:443",), 2, "a:443")
    assert book.addresses == ("shared:443", "a:443", "b:443")
    assert book.follow(("b:443",), 3)


ADDRESSES = st.sampled_from([f"{host}:443" for host in "abcdef"])


@given(
    st.lists(ADDRESSES, min_size=1, max_size=4),
    st.lists(ADDRESSES, max_size=3),
    st.lists(
        st.one_of(
            st.tuples(st.just("follow"), st.lists(ADDRESSES, max_size=2), st.integers(0, 3), st.none() | ADDRESSES),
            st.tuples(st.just("next")),
            st.tuples(st.just("worked"), ADDRESSES),
            st.tuples(st.just("adopt"), st.lists(ADDRESSES, min_size=1, max_size=3), st.integers(0, 3)),
        ),
        max_size=20,
    ),
)
def test_whatever_happened_every_known_address_is_dialled_within_one_round(
    first: list[str], stated: list[str], steps: list[tuple[object, ...]]
) -> None:
    """Bouncing between two appliances must never keep an end from a third address for good."""
    book = AddressBook(SITE.public, first, token(1, 1, *stated) if stated else None)
    for number, step in enumerate(steps):
        match step:
            case ("follow", list(addresses), int(term), pointed_by):
                before, known = book.addresses, book.term
                assert book.follow(addresses, term, pointed_by) == (term >= known)  # type: ignore[arg-type]
                if term < known:
                    assert book.addresses == before
                else:
                    assert list(book.addresses[: len(set(addresses))]) == list(dict.fromkeys(addresses))
            case ("next",):
                before = book.addresses
                assert book.next() in before
            case ("worked", str(address)):
                book.succeeded(address)
                assert not book.named
            case ("adopt", list(addresses), int(term)):
                book.adopt(token(term, number + 2, *addresses))
    everything = set(book.addresses)
    assert len(book.addresses) == len(everything)
    assert set(first) <= everything
    assert book.statement is None or set(book.statement.addresses) <= everything
    dialled = {book.next() for _ in range(2 * len(everything))}
    assert dialled >= set(book.addresses)


@pytest.mark.req("F11")
def test_both_appliances_of_a_pair_are_believed_of_their_certificates() -> None:
    a, b, a_new = b"a" * 32, b"b" * 32, b"n" * 32
    book = AddressBook(SITE.public, (), token(2, 10, leaf=b, issued=1000, appliance="B"))
    with pytest.raises(NotProven):
        book.check_peer(a)
    assert not book.adopt(token(2, 9, leaf=a, issued=990, appliance="A")), "what is kept is the newest of both"
    book.check_peer(a)
    book.check_peer(b)
    book.adopt(token(2, 11, leaf=a_new, issued=1010, appliance="A"))
    book.check_peer(a_new)
    book.check_peer(b)
    with pytest.raises(NotProven):
        book.check_peer(a)  # given up
    assert not book.adopt(token(2, 9, leaf=a, issued=990, appliance="A"))
    with pytest.raises(NotProven):
        book.check_peer(a)


@pytest.mark.parametrize(
    "other",
    [
        {"term": 1, "sequence": 99, "issued": 1000, "appliance": "A"},
        {"term": 2, "sequence": 9, "issued": 99, "appliance": "A"},
        {"term": 2, "sequence": 9, "issued": 1000, "appliance": ""},
    ],
    ids=["of an older term", "long ago", "of an older release"],
)
def test_an_old_statement_of_the_other_appliance_is_worth_nothing(other: dict[str, int | str]) -> None:
    book = AddressBook(SITE.public, (), token(2, 10, issued=1000, appliance="B"))
    book.adopt(token(leaf=b"o" * 32, **other))  # type: ignore[arg-type]
    with pytest.raises(NotProven):
        book.check_peer(b"o" * 32)
    book.check_peer(b"l" * 32)


def test_who_is_pointed_elsewhere_again_and_again_waits_longer() -> None:
    reconnect = Reconnect(0.0, give_up_after=None)
    waits = []
    for _ in range(12):
        waits.append(reconnect.delay(0.0))
        reconnect.pointed()
    assert waits[:3] == [0.0, 0.05, 0.1], "the first pointer is followed at once"
    assert waits[-3:] == [12.0, 12.0, 12.0]
    assert waits == sorted(waits)
    reconnect.succeeded(1.0)
    assert reconnect.delay(0.0) == 0.0


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
