"""A question and its answer: signed, bound to each other by the nonce, and refused with the right error otherwise."""

import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from staffetta.packages import Installed, InstalledLicence, Version
from staffetta.packages.errors import NotTrusted, PackageError, RequestInvalid
from staffetta.packages.offers import read_request, read_statement, sign_request, sign_statement

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()
NONCE = b"n" * 32
TIME = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
INSTALLED = Installed(Version("1.0"), Version("2.0"), (InstalledLicence("licences/licence-1.tar.zst", Version("1")),))


@pytest.mark.req("U3", "U6")
def test_question_and_answer_read_back() -> None:
    request = read_request(sign_request(KEY, NONCE, INSTALLED))
    assert (request.installed, request.nonce, request.public_key) == (INSTALLED, NONCE, PUBLIC)
    statement = read_statement(sign_statement(KEY, ["b", "a"], TIME, NONCE), [PUBLIC], NONCE)
    assert (statement.targets, statement.time) == (("a", "b"), TIME)


@pytest.mark.req("U6", "U14")
def test_an_answer_by_another_key_or_to_another_question_is_refused() -> None:
    with pytest.raises(NotTrusted, match="not signed"):
        read_statement(sign_statement(OTHER, [], TIME, NONCE), [PUBLIC], NONCE)
    with pytest.raises(NotTrusted, match="not signed"):
        read_statement(sign_statement(KEY, [], TIME, NONCE), [], NONCE)
    with pytest.raises(NotTrusted, match="played again"):
        read_statement(sign_statement(KEY, [], TIME, b"m" * 32), [PUBLIC], NONCE)
    moved = json.loads(sign_statement(KEY, [], TIME, NONCE)) | {"time": "2030-01-01T00:00:00Z"}
    with pytest.raises(NotTrusted, match="not signed"):
        read_statement(json.dumps(moved).encode(), [PUBLIC], NONCE)
    with pytest.raises(NotTrusted):
        read_statement(sign_request(KEY, NONCE, INSTALLED), [PUBLIC], NONCE)


def test_a_question_signed_by_another_or_changed_is_refused() -> None:
    fields = json.loads(sign_request(KEY, NONCE, INSTALLED))
    stolen = fields | {"signature": json.loads(sign_request(OTHER, NONCE, INSTALLED))["signature"]}
    with pytest.raises(NotTrusted):
        read_request(json.dumps(stolen).encode())
    with pytest.raises(NotTrusted):
        read_request(json.dumps(fields | {"product": "other"}).encode())
    with pytest.raises(RequestInvalid, match="does not belong"):
        read_request(json.dumps(fields | {"device": "0" * 32}).encode())
    for field in fields:
        with pytest.raises(RequestInvalid):
            read_request(json.dumps({name: fields[name] for name in fields if name != field}).encode())


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: json.dumps({"product": text}).encode()))
def test_what_is_no_question_is_an_error_of_ours(body: bytes) -> None:
    with pytest.raises(PackageError):
        read_request(body)


def test_a_lone_surrogate_is_an_error_of_ours() -> None:
    fields = json.loads(sign_request(KEY, NONCE, INSTALLED)) | {"more": "\ud800"}
    with pytest.raises(RequestInvalid):
        read_request(json.dumps(fields).encode())
