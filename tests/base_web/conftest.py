"""What the tests of `/appliance` share: a base service that answers, people who are signed in, a real server."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client

from staffetta.base.web.models import Account
from staffetta.ui.signin.accounts import seed_admin

from .control_server import ControlServer

NEW_PASSWORD = "a-better-relay-7"


@pytest.fixture(autouse=True)
def fast_hashes(settings: object) -> None:
    """Hashing is not what these tests measure."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


@pytest.fixture
def control() -> Iterator[ControlServer]:
    """Base's service, answering where the pages ask."""
    with ControlServer(settings.PATHS.control_socket).serving() as server:
        yield server


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
def pages(admin: Account) -> Client:
    """A browser in which the administrator is signed in, over TLS."""
    client = Client(SERVER_NAME="localhost", headers={"x-forwarded-proto": "https"})
    client.force_login(admin)
    return client
