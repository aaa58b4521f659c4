"""The installer's token, and the update question and answer whose form is frozen for ever."""

import json

import pytest

from staffetta.wire import enrolment
from staffetta.wire.enrolment import InstallerToken, UpdateAction, UpdateAnswer, UpdateQuestion
from staffetta.wire.errors import FrameError
from staffetta.wire.fields import to_base64url

TOKEN = InstallerToken(b"s" * 20, b"k" * 32, ("support.example:8443", "127.0.10.1:8443"), "statement")


def test_a_token_is_one_line_and_survives_a_mail() -> None:
    text = TOKEN.text()
    assert text.startswith("stf1.")
    assert text.split() == [text]
    assert enrolment.parse_installer_token(text) == TOKEN
    assert enrolment.parse_installer_token(f"  {text[:30]}\r\n{text[30:]}\n") == TOKEN
    bare = InstallerToken(b"s" * 20, b"k" * 32, ("a:1",))
    assert enrolment.parse_installer_token(bare.text()) == bare


@pytest.mark.parametrize(
    "text",
    [
        "",
        "stf1.",
        "stf2." + TOKEN.text()[5:],
        TOKEN.text()[:-3],
        TOKEN.text()[:40] + "!" + TOKEN.text()[41:],
        "stf1." + to_base64url(b"{}"),
        "stf1." + to_base64url(b'{"secret":"c3Nz","site_key":"a2tr","addresses":["a:1"]}'),
        "stf1." + to_base64url(b"[" * 9000),
        "stf1." + "A" * 20_000,
        "stf1.é",
    ],
)
def test_what_is_no_token_is_told_so(text: str) -> None:
    with pytest.raises(FrameError):
        enrolment.parse_installer_token(text)


@pytest.mark.req("U12", "C6")
def test_the_update_question_and_answer_of_format_1_are_these_bytes_for_ever() -> None:
    question = b'{"client":"client-1","format":1,"kind":"jump-client","platform":"linux-x86_64","version":"1.0"}'
    assert enrolment.from_body(UpdateQuestion, question) == UpdateQuestion(
        "client-1", "jump-client", "1.0", "linux-x86_64"
    )
    assert enrolment.to_body(UpdateQuestion("client-1", "jump-client", "1.0", "linux-x86_64")) == question
    assert enrolment.from_body(UpdateAnswer, b'{"format":1,"version":"1.0","action":"stay"}') == UpdateAnswer(
        "1.0", UpdateAction.STAY
    )
    answer = {
        "format": 1,
        "version": "2.0",
        "action": "update",
        "bundle": "/client/bundle",
        "size": 1234,
        "sha256": "ab",
        "retry_seconds": 60,
        "reason": "",
    }
    known = UpdateAnswer("2.0", UpdateAction.UPDATE, "/client/bundle", 1234, "ab", 60)
    assert enrolment.from_body(UpdateAnswer, json.dumps({**answer, "since-version-9": [1]}).encode()) == known
    assert json.loads(enrolment.to_body(known)) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"format":2,"client":"","kind":"k","version":"1","platform":"p"}',
        b'{"client":null,"kind":"k","version":"1","platform":"p"}',
        b'{"client":"","kind":"k","version":1,"platform":"p"}',
        b" " * 70_000,
    ],
)
def test_a_bad_question_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        enrolment.from_body(UpdateQuestion, body)


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(FrameError):
        enrolment.from_body(UpdateAnswer, b'{"version":"1.0","action":"explode"}')
