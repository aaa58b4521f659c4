"""Signed things and proofs of key: what holds, and everything near it that does not."""

import hashlib
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from staffetta.wire import enrolment, fields, identity, signed, tickets
from staffetta.wire.errors import LaterTerm, NotProven
from staffetta.wire.identity import Purpose, SigningKey, check_proof
from staffetta.wire.vocabulary import EndName

NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
SITE = SigningKey(b"s" * 32)
OTHER = SigningKey(b"o" * 32)
END = SigningKey(b"e" * 32)
NONCE = b"n" * 32
LEAF = identity.certificate_sha256(b"a leaf certificate")


def statement(term: int = 1, sequence: int = 1) -> signed.Statement:
    return signed.Statement(
        "site-1", (LEAF,), ("support.example:8443", "127.0.10.1:8443"), term, sequence, 1_795_500_000
    )


def test_a_statement_is_read_back_and_names_its_certificate() -> None:
    found = signed.read_statement(statement().sign(SITE), SITE.public)
    assert found == statement()
    assert found.names(LEAF)
    assert not found.names(bytes(32))


def flipped(token: str) -> list[str]:
    """The token with one character changed, in each of its three parts."""
    places = (4, token.index(".") + 4, token.rindex(".") + 4)
    return [token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :] for place in places]


def test_a_changed_foreign_or_misused_token_is_refused() -> None:
    token = statement().sign(SITE)
    claims = {"site": "site-1", "certificates": [], "addresses": [], "term": 1, "sequence": 1, "issued": 1}
    bad = [
        *flipped(token),
        statement().sign(OTHER),
        signed.sign(signed.Typ.TICKET, fields.write(statement()), SITE),
        jwt.encode(fields.write(statement()), SITE.private, algorithm="EdDSA"),
        signed.sign(signed.Typ.STATEMENT, {"site": "site-1"}, SITE),
        jwt.encode(claims, "", algorithm="none", headers={"typ": "statement+jwt"}),
        jwt.encode(claims, SITE.public * 2, algorithm="HS256", headers={"typ": "statement+jwt"}),
        "",
        "a.b.c",
        "é.b.c",
        token + "." + token,
        "x" * 100_000,
    ]
    for text in bad:
        with pytest.raises(NotProven):
            signed.read_statement(text, SITE.public)
    with pytest.raises(NotProven):
        signed.read_statement(token, b"short")


def test_a_credential_lasts_twelve_hours_by_the_time_passed_in() -> None:
    token = signed.make_credential("rep-1", "Ada", END.public, NOW, SITE)
    assert signed.read_credential(token, SITE.public, NOW + timedelta(hours=11, minutes=59)).rep == "rep-1"
    with pytest.raises(NotProven):
        signed.read_credential(token, SITE.public, NOW + timedelta(hours=12))


@pytest.mark.req("U9")
def test_a_ticket_is_worth_nothing_without_its_key() -> None:
    token = tickets.make_ticket("session-1", EndName.CONSOLE, END.public, 1, NOW, SITE)
    attach = tickets.make_attach(token, 5, NONCE, LEAF, END, "1.0", away_ms=120)
    assert attach.away_ms == 120
    ticket = tickets.check_attach(attach, NONCE, LEAF, SITE.public, NOW, 1)
    assert (ticket.session, ticket.end, ticket.key) == ("session-1", EndName.CONSOLE, END.public)

    stolen = tickets.make_attach(token, 5, NONCE, LEAF, OTHER, "1.0")
    later_counter = type(attach)(attach.ticket, 6, attach.proof, attach.version)
    for wrong, nonce, leaf in (
        (stolen, NONCE, LEAF),
        (attach, b"m" * 32, LEAF),
        (attach, NONCE, bytes(32)),
        (later_counter, NONCE, LEAF),
        (type(attach)(attach.ticket, 5, bytes(64), attach.version), NONCE, LEAF),
    ):
        with pytest.raises(NotProven):
            tickets.check_attach(wrong, nonce, leaf, SITE.public, NOW, 1)


def test_a_ticket_expires_and_a_later_term_is_not_served_by_an_older_appliance() -> None:
    token = tickets.make_ticket("session-1", EndName.CONSOLE, END.public, 2, NOW, SITE)
    assert tickets.read_ticket(token, SITE.public, NOW + timedelta(minutes=4, seconds=59)).term == 2
    with pytest.raises(NotProven, match="expired"):
        tickets.read_ticket(token, SITE.public, NOW + timedelta(minutes=5))
    attach = tickets.make_attach(token, 5, NONCE, LEAF, END, "1.0")
    with pytest.raises(LaterTerm) as later:
        tickets.check_attach(attach, NONCE, LEAF, SITE.public, NOW, 1)
    assert later.value.term == 2
    stolen = tickets.make_attach(token, 5, NONCE, LEAF, OTHER, "1.0")
    with pytest.raises(NotProven, match="proof of key"):
        tickets.check_attach(stolen, NONCE, LEAF, SITE.public, NOW, 1)
    with pytest.raises(NotProven):
        tickets.read_ticket(token, OTHER.public, NOW)


def test_hellos_are_proven_by_the_enrolled_key_or_the_credentials() -> None:
    hello = tickets.make_jump_client_hello("client-1", NONCE, LEAF, END, "1.0", ("shell",), {"hostname": "pc"})
    tickets.check_jump_client_hello(hello, END.public, NONCE, LEAF)
    for key, nonce in ((OTHER.public, NONCE), (END.public, bytes(32)), (b"", NONCE)):
        with pytest.raises(NotProven):
            tickets.check_jump_client_hello(hello, key, nonce, LEAF)

    credential = signed.make_credential("rep-1", "Ada", END.public, NOW, SITE)
    console = tickets.make_console_hello(credential, NONCE, LEAF, END, "1.0")
    assert tickets.check_console_hello(console, NONCE, LEAF, SITE.public, NOW).name == "Ada"
    foreign = tickets.make_console_hello(credential, NONCE, LEAF, OTHER, "1.0")
    with pytest.raises(NotProven):
        tickets.check_console_hello(foreign, NONCE, LEAF, SITE.public, NOW)


def test_a_proof_for_one_purpose_is_none_for_another() -> None:
    proof = END.prove(Purpose.CONNECT, NONCE, LEAF, b"subject")
    check_proof(END.public, proof, Purpose.CONNECT, NONCE, LEAF, b"subject")
    for purpose, subject, counter in (
        (Purpose.ATTACH, b"subject", 0),
        (Purpose.CONNECT, b"subject2", 0),
        (Purpose.CONNECT, b"subject", 1),
    ):
        with pytest.raises(NotProven):
            check_proof(END.public, proof, purpose, NONCE, LEAF, subject, counter)
    with pytest.raises(NotProven):
        check_proof(END.public, b"", Purpose.CONNECT, NONCE, LEAF, b"subject")


def test_the_bytes_that_are_signed_as_proof_are_the_protocol() -> None:
    expected = b"staffetta proof v1\0attach\0" + NONCE + LEAF
    expected += hashlib.sha256(b"ticket").digest() + (7).to_bytes(8, "big")
    assert END.prove(Purpose.ATTACH, NONCE, LEAF, b"ticket", 7) == END.sign(expected)


def test_an_enrolment_proves_its_key_for_this_peer_and_name() -> None:
    request = enrolment.make_enrol_request("stf1.x", END, LEAF, "Front desk", "1.0", {"system": "Linux"})
    assert enrolment.from_body(enrolment.EnrolRequest, enrolment.to_body(request)) == request
    request.check(LEAF)
    with pytest.raises(NotProven):
        request.check(bytes(32))
    with pytest.raises(NotProven):
        enrolment.EnrolRequest("stf1.x", END.public, "Other", request.proof, "1.0").check(LEAF)
    with pytest.raises(NotProven):
        enrolment.EnrolRequest("stf1.x", OTHER.public, "Front desk", request.proof, "1.0").check(LEAF)


def test_a_key_does_not_show_its_secret() -> None:
    assert END.seed().hex() not in repr(END)
    assert SigningKey(END.seed()).public == END.public
    with pytest.raises(NotProven):
        SigningKey(b"short")


def test_a_ticket_says_what_its_session_is_and_older_ones_are_still_read() -> None:
    about = tickets.About("rep-1", "client-1", "shell", True, 1_700_000_000_000, "web-1", 0)
    token = tickets.make_ticket("session-1", EndName.CONSOLE, END.public, 2, NOW, SITE, about)
    assert tickets.read_ticket(token, SITE.public, NOW).about == about
    claims = signed.verified(signed.Typ.TICKET, token, SITE.public)
    del claims["about"]["web"], claims["about"]["since"]
    before = signed.sign(signed.Typ.TICKET, claims, SITE)
    said = tickets.read_ticket(before, SITE.public, NOW).about
    assert said is not None and (said.web, said.since) == ("", None)
    del claims["about"]
    older = signed.sign(signed.Typ.TICKET, claims, SITE)
    assert tickets.read_ticket(older, SITE.public, NOW).about is None


def test_a_statement_of_an_older_release_names_no_appliance() -> None:
    statement = signed.Statement("site-1", (LEAF,), ("a:443",), 1, 1, 1, "appliance-1")
    assert signed.read_statement(statement.sign(SITE), SITE.public) == statement
    claims = signed.verified(signed.Typ.STATEMENT, statement.sign(SITE), SITE.public)
    del claims["appliance"]
    older = signed.sign(signed.Typ.STATEMENT, claims, SITE)
    assert signed.read_statement(older, SITE.public).appliance == ""


def test_a_credential_names_the_web_session_and_what_the_account_said() -> None:
    at = NOW.replace(microsecond=123_456)
    token = signed.make_credential("rep-1", "Ada", END.public, NOW, SITE, at, "web-1")
    credential = signed.read_credential(token, SITE.public, NOW)
    assert (credential.web, credential.signed_in_since) == ("web-1", NOW.replace(microsecond=124_000))
    never = signed.read_credential(signed.make_credential("rep-1", "Ada", END.public, NOW, SITE), SITE.public, NOW)
    assert (never.web, never.signed_in_since) == ("", signed.EPOCH)


def test_milliseconds_come_back_as_they_were() -> None:
    for number in range(0, 3_000, 7):
        at = NOW + timedelta(milliseconds=number)
        assert signed.from_milliseconds(signed.milliseconds(at)) == at


def test_a_credential_of_an_older_release_was_made_its_life_before_it_ends() -> None:
    claims: dict[str, object] = {
        "rep": "rep-1",
        "name": "Ada",
        "key": fields.to_base64url(END.public),
        "exp": signed.seconds(NOW + signed.CREDENTIAL_LIFE),
    }
    credential = signed.read_credential(signed.sign(signed.Typ.CREDENTIAL, claims, SITE), SITE.public, NOW)
    assert (credential.web, credential.signed_in_since) == ("", NOW.replace(microsecond=0))
