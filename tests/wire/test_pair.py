"""Establishing a pair: any change, any other key, reflection and replay are refused; tokens and hello bind the leaf."""

import dataclasses
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from staffetta.wire import fields as wire_fields
from staffetta.wire import pair
from staffetta.wire.errors import NotProven
from staffetta.wire.identity import Purpose, SigningKey
from staffetta.wire.pair import Answer, Begin, Endpoint, Side
from staffetta.wire.signed import Typ, sign

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
KEY = pair.establish_key("abcd-efgh-ijkl-mnop-qrst-uvwx-yz23")
LEAF_A, LEAF_B = b"a" * 32, b"b" * 32
SIDE_A = Side("origin-a", b"A" * 32, "support.example.com", "2.0.0", 4, 1_000)
SIDE_B = Side("origin-b", b"B" * 32, "support.example.com", "2.0.0", 7, 1_001)
BACKUP, REVERSE = Endpoint("192.0.2.2", 443), Endpoint("192.0.2.1", 8443)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

pytestmark = pytest.mark.req("F1")


def exchange(nonce_a: bytes = b"1" * 32, nonce_b: bytes = b"2" * 32) -> tuple[Begin, Answer]:
    begin = pair.make_begin(KEY, nonce_a, SIDE_A, LEAF_B, BACKUP, REVERSE)
    return begin, pair.make_answer(KEY, begin, nonce_b, SIDE_B, LEAF_A)


def test_an_exchange_that_nobody_touched_holds_on_both_sides() -> None:
    begin, answer = exchange()
    pair.check_begin(KEY, wire_fields.read(Begin, wire_fields.write(begin)))
    pair.check_answer(KEY, begin, wire_fields.read(Answer, wire_fields.write(answer)))
    pair.check_finish(KEY, begin, answer, pair.make_finish(KEY, begin, answer))
    pair.check_held(KEY, begin, answer, pair.make_held(KEY, begin, answer))
    assert pair.established_term(begin, answer) == 8


def _other(value: Any) -> Any:
    match value:
        case bytes():
            return bytes([value[0] ^ 1]) + value[1:]
        case str():
            return value + "x"
        case int():
            return value + 1
        case Endpoint():
            return Endpoint(value.host, value.port + 1)
    raise AssertionError(value)


def _changes(message: Any) -> list[Any]:
    """The message with each of its fields changed in turn, those of its side among them."""
    changed = []
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if isinstance(value, Side):
            for inner in dataclasses.fields(value):
                side = dataclasses.replace(value, **{inner.name: _other(getattr(value, inner.name))})
                changed.append(dataclasses.replace(message, side=side))
        elif field.name != "format":
            changed.append(dataclasses.replace(message, **{field.name: _other(value)}))
    return changed


@pytest.mark.parametrize("changed", _changes(exchange()[0]), ids=repr)
def test_any_change_of_a_begin_is_refused_everywhere(changed: Begin) -> None:
    begin, answer = exchange()
    with pytest.raises(NotProven):
        pair.check_begin(KEY, changed)
    with pytest.raises(NotProven):
        pair.check_answer(KEY, changed, answer)
    with pytest.raises(NotProven):
        pair.check_finish(KEY, changed, answer, pair.make_finish(KEY, begin, answer))
    with pytest.raises(NotProven):
        pair.check_held(KEY, changed, answer, pair.make_held(KEY, begin, answer))


@pytest.mark.parametrize("changed", _changes(exchange()[1]), ids=repr)
def test_any_change_of_an_answer_is_refused_everywhere(changed: Answer) -> None:
    begin, answer = exchange()
    with pytest.raises(NotProven):
        pair.check_answer(KEY, begin, changed)
    with pytest.raises(NotProven):
        pair.check_finish(KEY, begin, changed, pair.make_finish(KEY, begin, answer))
    with pytest.raises(NotProven):
        pair.check_held(KEY, begin, changed, pair.make_held(KEY, begin, answer))


@given(st.text(LETTERS, min_size=26, max_size=40).filter(lambda text: len(set(text)) >= 8))
@settings(max_examples=15, deadline=None)
def test_any_other_key_is_refused(text: str) -> None:
    other = pair.establish_key(text)
    begin, answer = exchange()
    assert other != KEY
    with pytest.raises(NotProven):
        pair.check_begin(other, begin)
    with pytest.raises(NotProven):
        pair.check_answer(other, begin, answer)
    with pytest.raises(NotProven):
        pair.check_finish(other, begin, answer, pair.make_finish(KEY, begin, answer))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_what_was_said_in_one_attempt_is_worth_nothing_in_another(nonce_a: bytes, nonce_b: bytes) -> None:
    begin, answer = exchange()
    other_begin, other_answer = exchange(nonce_a, nonce_b)
    if (nonce_a, nonce_b) == (begin.nonce, answer.nonce):
        return
    with pytest.raises(NotProven):
        pair.check_finish(KEY, other_begin, other_answer, pair.make_finish(KEY, begin, answer))
    with pytest.raises(NotProven):
        pair.check_held(KEY, other_begin, other_answer, pair.make_held(KEY, begin, answer))
    if nonce_a != begin.nonce:
        with pytest.raises(NotProven):
            pair.check_answer(KEY, other_begin, answer)


def test_no_message_can_be_sent_back_as_another() -> None:
    """Each MAC is over its own label: of four, none passes in the place of another."""
    begin, answer = exchange()
    macs = {
        "begin": begin.mac,
        "answer": answer.mac,
        "finish": pair.make_finish(KEY, begin, answer).mac,
        "held": pair.make_held(KEY, begin, answer).mac,
    }
    assert len(set(macs.values())) == 4
    for name, mac in macs.items():
        if name != "finish":
            with pytest.raises(NotProven):
                pair.check_finish(KEY, begin, answer, pair.Finish(answer.nonce, mac))
        if name != "held":
            with pytest.raises(NotProven):
                pair.check_held(KEY, begin, answer, pair.Held(mac))
        if name != "answer":
            with pytest.raises(NotProven):
                pair.check_answer(KEY, begin, dataclasses.replace(answer, mac=mac))
    mirrored = Answer(begin.nonce, begin.side, begin.leaf, begin.mac)
    with pytest.raises(NotProven):
        pair.check_answer(KEY, begin, mirrored)


# The pre-shared key


@given(st.binary(min_size=20, max_size=20))
@settings(deadline=None)
def test_a_generated_key_is_read_back_however_it_is_typed(entropy: bytes) -> None:
    key = pair.generate_key(entropy)
    if len(set(key)) < 9:
        return
    letters = pair.normalised_key(key)
    assert len(letters) == 32
    assert pair.readable_key(letters) == key
    for typed in (key.upper(), key.replace("-", " "), f"  {key}\n", key.replace("-", "")):
        assert pair.normalised_key(typed) == letters


def test_a_fingerprint_tells_keys_apart_and_not_what_they_are() -> None:
    typed = "abcd-efgh-ijkl-mnop-qrst-uvwx-yz23"
    shown = pair.key_fingerprint(typed)
    assert shown == "2167 d911 2912 1d54"
    assert shown == pair.key_fingerprint(f" {typed.upper().replace('-', ' ')}\n"), "however it is typed"
    assert shown != pair.key_fingerprint(typed[::-1])
    plain = hashlib.sha256(pair.normalised_key(typed).encode()).hexdigest()
    assert shown.replace(" ", "") not in (plain[:16], hashlib.sha256(KEY).hexdigest()[:16], KEY.hex()[:16])


@pytest.mark.parametrize(
    "text",
    ["", "password", "abcdefghijklmnopqrstuvwxy", "a" * 40, "abcdabcdabcdabcdabcdabcdabcd", "ä" * 30, "x!" * 20],
)
def test_a_short_simple_or_strange_key_is_refused(text: str) -> None:
    with pytest.raises(pair.UnusableKey, match="generated"):
        pair.normalised_key(text)


# Endpoints


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("Support-B.Example.com.", "support-b.example.com", 443),
        ("192.0.2.7:8443", "192.0.2.7", 8443),
        ("[2001:DB8::0:7]:8443", "2001:db8::7", 8443),
        ("2001:db8::7", "2001:db8::7", 443),
    ],
)
def test_an_endpoint_has_one_spelling(text: str, host: str, port: int) -> None:
    endpoint = pair.parse_endpoint(text)
    assert (endpoint.host, endpoint.port) == (host, port)
    assert pair.parse_endpoint(str(endpoint)) == endpoint


def test_an_endpoint_has_one_spelling_also_when_the_other_appliance_names_it() -> None:
    told = wire_fields.read(Endpoint, {"host": "2001:DB8:0::7", "port": 443})
    assert told == Endpoint("2001:db8::7", 443)


@pytest.mark.parametrize(
    "text", ["", "https://b.example.com", "b:0", "b:65536", "b b", "-b.example.com", "a:b:c", "b/"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(pair.NoEndpoint):
        pair.parse_endpoint(text)


# Hello and token

ONE, TWO = SigningKey(b"1" * 32), SigningKey(b"2" * 32)


def token(**changed: Any) -> str:
    values: dict[str, Any] = {"origin": "a", "to": "b", "leaf": LEAF_B, "now": NOW, "key": ONE} | changed
    return pair.make_pair_token(**values)


def check(text: str, now: datetime = NOW) -> None:
    pair.check_pair_token(text, ONE.public, "a", "b", LEAF_B, now)


def test_a_token_holds_for_its_moment_only() -> None:
    check(token())
    check(token(), NOW + timedelta(seconds=29))
    check(token(), NOW - timedelta(seconds=29))
    for apart in (30, 3600, -31, -3600):
        with pytest.raises(pair.ClocksApart):
            check(token(), NOW + timedelta(seconds=apart))


@pytest.mark.parametrize(
    "changed", [{"origin": "c"}, {"to": "a"}, {"origin": "b", "to": "a"}, {"leaf": LEAF_A}, {"key": TWO}], ids=repr
)
def test_a_token_of_another_for_another_or_through_another_leaf_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(NotProven) as refused:
        check(token(**changed))
    assert not isinstance(refused.value, pair.ClocksApart)


def test_another_signed_thing_is_no_token() -> None:
    claims: dict[str, object] = {
        "origin": "a",
        "to": "b",
        "leaf": wire_fields.to_base64url(LEAF_B),
        "exp": 1_795_521_630,
    }
    with pytest.raises(NotProven, match="expected"):
        check(sign(Typ.TICKET, claims, ONE))


def test_hello_proves_one_nonce_one_leaf_one_appliance() -> None:
    nonce = secrets.token_bytes(32)
    hello = pair.make_hello(ONE, "b", nonce, LEAF_B)
    pair.check_hello(hello, ONE.public, "b", nonce, LEAF_B)
    for key, origin, other_nonce, leaf in (
        (TWO.public, "b", nonce, LEAF_B),
        (ONE.public, "a", nonce, LEAF_B),
        (ONE.public, "b", bytes(32), LEAF_B),
        (ONE.public, "b", nonce, LEAF_A),
    ):
        with pytest.raises(NotProven):
            pair.check_hello(hello, key, origin, other_nonce, leaf)
    other = pair.Hello("b", ONE.prove(Purpose.CONNECT, nonce, LEAF_B, b"b"))
    with pytest.raises(NotProven):
        pair.check_hello(other, ONE.public, "b", nonce, LEAF_B)
