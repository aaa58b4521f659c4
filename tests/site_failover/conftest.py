"""A migrated database to copy sites from, and two sites that are a pair."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.db import connections

from site_failover.sites import Site, pair_of
from staffetta.site.processes import tasks

if TYPE_CHECKING:
    from pytest_django.plugin import DjangoDbBlocker


@pytest.fixture(scope="session")
def template(django_db_blocker: "DjangoDbBlocker") -> Iterator[Site]:
    """A site as it is after its first start."""
    folder = Path(tempfile.mkdtemp(prefix="sites-"))
    with django_db_blocker.unblock():
        made = Site("template", folder)
        with made:
            tasks.migrate()
        yield made
        made.close()
        for connection in connections.all(initialized_only=True):
            connection.close()
    shutil.rmtree(folder)


@pytest.fixture
def pair(template: Site, tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    """A (primary) and B (backup), which have never synced."""
    made = pair_of(template, tmp_path)
    yield made
    for site in made:
        site.close()


@pytest.fixture(autouse=True)
def _fast_passwords(settings: pytest.FixtureRequest) -> None:
    """Hashing is not what is tested here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


assert settings.configured
