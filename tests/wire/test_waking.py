"""The wake-up: only this site's proof, for this client and this connection, wakes a passive Jump Client."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staffetta.wire import waking
from staffetta.wire.errors import FrameError, NotProven
from staffetta.wire.identity import SigningKey

pytestmark = pytest.mark.req("C4")
SITE = SigningKey(bytes(range(32)))


def test_the_sites_answer_holds_and_no_other_does() -> None:
    nonce = secrets.token_bytes(32)
    assert waking.read_greeting(waking.greeting(nonce)) == nonce
    answer = waking.make_answer(nonce, "client-1", SITE)
    waking.check_answer(answer, nonce, "client-1", SITE.public)
    for said, drawn, client, key in (
        (answer, secrets.token_bytes(32), "client-1", SITE.public),  # overheard at an earlier connection
        (answer, nonce, "client-2", SITE.public),  # passed on to another client
        (answer, nonce, "client-1", SigningKey(bytes(32)).public),  # another site
        (answer[:-1], nonce, "client-1", SITE.public),
        (b"", nonce, "client-1", SITE.public),
    ):
        with pytest.raises(NotProven):
            waking.check_answer(said, drawn, client, key)


@given(st.binary(max_size=80))
def test_what_greets_otherwise_is_sent_nothing(said: bytes) -> None:
    if len(said) == waking.GREETING_BYTES and said.startswith(waking.MAGIC):
        return
    with pytest.raises(FrameError):
        waking.read_greeting(said)
