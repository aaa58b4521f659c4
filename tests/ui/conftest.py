"""The tests of this room run with the concrete accounts and sessions of base's pages (`--ds`)."""

import pytest
from django.test import Client

from staffetta.base.web.models import Account
from staffetta.ui.signin.accounts import seed_admin

NEW_PASSWORD = "a-better-relay-7"


@pytest.fixture(autouse=True)
def fast_hashes(settings: object) -> None:
    """Hashing is not what these tests measure, but where one says so."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


@pytest.fixture
def fresh(db: None) -> Account:
    """The first account as it is made: `admin` / `password`."""
    account = seed_admin(Account)
    assert account is not None
    return account


@pytest.fixture
def admin(fresh: Account) -> Account:
    """The first account after its password was changed."""
    fresh.set_password(NEW_PASSWORD)
    fresh.must_change_password = False
    fresh.save()
    return fresh


@pytest.fixture
def browser() -> Client:
    """A browser that speaks TLS to the door and keeps the rules of forms."""
    return Client(SERVER_NAME="localhost", headers={"x-forwarded-proto": "https"})
