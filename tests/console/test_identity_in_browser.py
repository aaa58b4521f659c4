"""Whom the console in a browser believes, what it proves, and where it dials."""

import os
from typing import Any

import pytest
from playwright.sync_api import Page

from staffetta.kernel.clock import utc_now
from staffetta.wire.errors import NotProven
from staffetta.wire.fields import from_base64url, to_base64url
from staffetta.wire.identity import Purpose, SigningKey, check_proof
from staffetta.wire.signed import Statement, Typ, make_credential, sign

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.req("S1")]

LEAF, OTHER_LEAF = bytes(range(32)), bytes(32)

PROVE = """async ([nonce, certificate, subject, counter]) => {
  const { makeKey, prove } = await import("/static/console/identity.js");
  const { toBase64url, fromBase64url } = await import("/static/console/base64.js");
  const key = await makeKey();
  let taken = "taken";
  try { await crypto.subtle.exportKey("pkcs8", key.privateKey); } catch (error) { taken = error.name; }
  const values = [fromBase64url(nonce), fromBase64url(certificate), subject, counter];
  const proof = await prove(key.privateKey, "attach", ...values);
  return { key: toBase64url(key.publicKey), proof: toBase64url(proof), taken };
}"""
BELIEVE = """async ([key, statements, leaves]) => {
  const { Site, NotProven } = await import("/static/console/identity.js");
  const { fromBase64url } = await import("/static/console/base64.js");
  const site = new Site(fromBase64url(key), ["first.example:443"]);
  const said = [];
  for (const statement of statements) {
    try { await site.adopt(statement); said.push("taken"); }
    catch (error) { said.push(error instanceof NotProven ? "not proven" : String(error)); }
  }
  return { said, named: leaves.map((leaf) => site.names(leaf)), addresses: site.addresses, term: site.term };
}"""
DIAL = """async ([addresses, origin, times]) => {
  const { Route } = await import("/static/console/dialling.js");
  const route = new Route({ addresses }, origin);
  const tried = [];
  for (let attempt = 0; attempt < times; attempt += 1) { tried.push(route.next()); route.failed(); }
  route.succeeded();
  return [...tried, route.next()];
}"""

CREDENTIALS = """async ([answers]) => {
  const { credentialFor } = await import("/static/console/key_store.js");
  let asked = 0;
  window.fetch = async () => Response.json({ credential: answers[asked++], expires: Date.now() / 1000 + 40000 });
  const keys = new Set();
  const given = [];
  for (let time = 0; time < 3; time += 1) {
    const known = await credentialFor("rep-1", "/credential.json", "secret");
    keys.add(known.publicKey.join());
    given.push(answers.indexOf(known.credential));
  }
  return { asked, given, keys: keys.size };
}"""


@pytest.fixture
def site() -> SigningKey:
    return SigningKey(os.urandom(32))


def statement(site: SigningKey, sequence: int = 1, **other: Any) -> str:
    facts = {"certificates": (LEAF,), "addresses": ("a.example:443",), "term": 1, "issued": 1_000_000, **other}
    return Statement(site="s" * 32, sequence=sequence, **facts).sign(site)


def believe(bench: Page, key: SigningKey, *statements: str, leaf: bytes = LEAF) -> dict[str, Any]:
    said: dict[str, Any] = bench.evaluate(BELIEVE, [to_base64url(key.public), list(statements), [to_base64url(leaf)]])
    return said


@pytest.mark.parametrize("counter", [0, 1, 2**40])
def test_the_gateway_takes_what_a_browser_proves(bench: Page, counter: int) -> None:
    nonce, subject = os.urandom(32), "a ticket, \xe9"
    made = bench.evaluate(PROVE, [to_base64url(nonce), to_base64url(LEAF), subject, counter])
    key, proof = from_base64url(made["key"]), from_base64url(made["proof"])
    check_proof(key, proof, Purpose.ATTACH, nonce, LEAF, subject.encode(), counter)
    for nonce_, leaf, subject_, counter_ in (
        (os.urandom(32), LEAF, subject, counter),
        (nonce, OTHER_LEAF, subject, counter),
        (nonce, LEAF, "another", counter),
        (nonce, LEAF, subject, counter + 1),
    ):
        with pytest.raises(NotProven):
            check_proof(key, proof, Purpose.ATTACH, nonce_, leaf, subject_.encode(), counter_)
    assert made["taken"] == "InvalidAccessError", "the key must not leave the browser"


def test_only_what_the_sites_key_signed_as_a_statement_is_believed(bench: Page, site: SigningKey) -> None:
    good = statement(site)
    header, body, signature = good.split(".")
    stranger = SigningKey(os.urandom(32))
    ticket = sign(Typ.TICKET, {"site": "s", "certificates": [to_base64url(LEAF)]}, site)
    spoilt = ".".join((header, body[:-2] + ("AA" if body[-2:] != "AA" else "BB"), signature))
    bad = [statement(stranger), ticket, spoilt, f"{header}.{body}.", f"{good}.x", "", "a.b.c", statement(site) + "A"]
    assert believe(bench, site, *bad)["said"] == ["not proven"] * len(bad)
    believed = believe(bench, site, *bad, good)
    assert (believed["said"][-1], believed["named"]) == ("taken", [True])
    assert believe(bench, site, good, leaf=OTHER_LEAF)["named"] == [False]
    assert believe(bench, site)["named"] == [False]


@pytest.mark.req("F7")
def test_the_newest_statement_counts_and_the_other_appliances_while_it_is_fresh(bench: Page, site: SigningKey) -> None:
    given_up = statement(site, 5, appliance="a")
    newer = statement(site, 6, certificates=(OTHER_LEAF,), appliance="a", addresses=("b.example:443",))
    assert believe(bench, site, newer, given_up)["named"] == [False], "a certificate that was given up"
    assert believe(bench, site, given_up, newer)["addresses"] == ["b.example:443", "first.example:443"]
    of_b = statement(site, 5, appliance="b")
    assert believe(bench, site, of_b, newer)["named"] == [True]
    late = statement(site, 6, certificates=(OTHER_LEAF,), appliance="a", issued=1_000_901)
    assert believe(bench, site, of_b, late)["named"] == [False]
    reign = statement(site, 1, certificates=(OTHER_LEAF,), appliance="a", term=2)
    later = believe(bench, site, of_b, reign)
    assert (later["named"], later["term"]) == ([False], 2)


def test_the_pages_origin_is_dialled_first_and_always(bench: Page) -> None:
    addresses = ["support.example:443", "a.example:443", "b.example:8443"]
    tried = bench.evaluate(DIAL, [addresses, "support.example", 9])
    origin, a, b = "support.example", "a.example:443", "b.example:8443"
    assert tried == [origin, origin, origin, origin, a, origin, b, origin, a, origin]
    assert bench.evaluate(DIAL, [["support.example:443"], "support.example", 6]) == [origin] * 7


@pytest.mark.req("S12", "U6")
def test_a_credential_that_names_no_web_session_is_replaced(bench: Page, site: SigningKey) -> None:
    """One of the release before: signing out in this browser would not reach it, a new password here would."""
    before = make_credential("rep-1", "rita", bytes(32), utc_now(), site)
    now = make_credential("rep-1", "rita", bytes(32), utc_now(), site, web="web-1")
    said = bench.evaluate(CREDENTIALS, [[before, now]])
    assert said == {"asked": 2, "given": [0, 1, 1], "keys": 1}
