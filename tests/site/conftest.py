"""What the tests of the site share: people who are signed in, and a migrated site in a folder of its own."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from own_site import PASSWORD, run_site

from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.fleet import updates, views


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test of a site in a folder of its own starts programs there: it is not among the quick ones."""
    for item in items:
        if "migrated" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.live)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, settings: Any) -> None:
    """Blobs of one test are nobody else's."""
    settings.STAFFETTA_SITE_FOLDER = tmp_path
    views._late_progress = updates.LateProgress()  # nor is what was counted
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "django.contrib.auth.hashers.ScryptPasswordHasher",
    ]


@pytest.fixture
def admin(db: None) -> Account:
    """The administrator, past the first sign-in."""
    account = Account.objects.get(username="admin")
    account.set_password(PASSWORD)
    account.must_change_password = False
    account.save()
    return account


@pytest.fixture
def person(admin: Account) -> Callable[..., Account]:
    """Make an account that is allowed some things, with `PASSWORD`."""

    def make(name: str, *allowed: Allowed) -> Account:
        made = accounts.make_account(admin, name, frozenset(allowed))
        account = Account.objects.get(pk=made.account)
        account.set_password(PASSWORD)
        account.must_change_password = False
        account.save()
        return account

    return make


@pytest.fixture
def browser() -> Callable[..., Client]:
    """Open a browser, signed in as an account if one is given."""

    def open_browser(account: Account | None = None, **options: Any) -> Client:
        client = Client(headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}, **options)
        if account is not None:
            client.force_login(account, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return open_browser


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a migrated site that nobody has used."""
    folder = tmp_path_factory.mktemp("migrated")
    run_site(folder, "-m", "django", "migrate", "-v0")
    return folder


@pytest.fixture
def site_folder(migrated: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of it to use from other processes."""
    folder = tmp_path / "site"
    shutil.copytree(migrated, folder)
    yield folder
