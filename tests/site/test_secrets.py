"""Secrets: encrypted at rest with a key of the appliance's own, and shown nowhere."""

import pickle
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core import serializers
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from staffetta.site.data import identity
from staffetta.site.data.errors import SecretUnreadable
from staffetta.site.data.models import SiteKey
from staffetta.site.data.secrets import Secret, derive, load_or_create, seal, unseal

KEY = bytes(range(32))


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_again_in_its_place_only(value: bytes, place: str) -> None:
    text = seal(KEY, place, Secret(value))
    assert unseal(KEY, place, text).reveal() == value
    for key, other in ((bytes(32), place), (KEY, place + "x")):
        with pytest.raises(SecretUnreadable):
            unseal(key, other, text)


@pytest.mark.parametrize("text", ["", "plain", "v1:", "v1:????", "v1:" + "A" * 60, "v2:AAAA"])
def test_anything_else_does_not_open(text: str) -> None:
    with pytest.raises(SecretUnreadable):
        unseal(KEY, "table.column", text)


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret(b"hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {vars(type(secret))}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_no_two_purposes_share_a_key() -> None:
    assert derive(KEY, "one") != derive(KEY, "two")


@pytest.mark.django_db
def test_the_sites_key_is_encrypted_in_the_database_and_redacted_in_dumps() -> None:
    seed = identity.site_identity().seed()
    with connection.cursor() as cursor:
        stored = cursor.execute("SELECT seed FROM data_sitekey").fetchone()[0]
    assert stored.startswith("v1:")
    assert seed not in stored.encode() and seed.hex() not in stored
    dumped = serializers.serialize("json", SiteKey.objects.all())
    assert "[secret]" in dumped
    assert stored not in dumped


@pytest.mark.django_db
def test_another_appliances_key_opens_nothing(settings: Any) -> None:
    settings.STAFFETTA_FIELD_KEY = bytes(32)
    with pytest.raises(SecretUnreadable):
        identity.site_identity()


@pytest.mark.django_db
def test_an_encrypted_field_takes_secrets_only_and_is_not_searched() -> None:
    row = SiteKey.objects.get()
    row.seed = b"plain"  # type: ignore[assignment]
    with pytest.raises(TypeError):
        row.save()
    with pytest.raises(TypeError):
        SiteKey.objects.filter(seed=Secret(b"x")).exists()


@pytest.mark.django_db
def test_the_identity_stays_and_the_term_begins_with_one() -> None:
    before = (identity.origin(), identity.site_identity().public)
    identity.ensure()
    assert (identity.origin(), identity.site_identity().public) == before
    assert identity.role_term() == 1


def test_the_key_file_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    found: list[bytes] = []
    start = threading.Barrier(8)

    def load() -> None:
        start.wait()
        found.append(load_or_create(path))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {path.read_bytes()}
    assert len(found[0]) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["secret.key"]


def test_a_damaged_key_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(b"short")
    with pytest.raises(SecretUnreadable):
        load_or_create(path)
    assert path.read_bytes() == b"short"
