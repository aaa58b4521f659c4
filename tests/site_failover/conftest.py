"""Sites to test a pair with: whole ones in this process, and real ones that a test starts."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connections

from site_failover.sites import Site, pair_of
from site_failover.two_sites import OneSite, made_from
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


@pytest.fixture(scope="session")
def templates() -> Iterator[tuple[Path, Path]]:
    """The data of two sites, each with an identity of its own."""
    root = Path(tempfile.mkdtemp(prefix="ft-", dir="/tmp"))
    for name in ("a", "b"):
        (root / name).mkdir()
        site = OneSite(root / name)
        site.migrate()
        site.close()
    yield root / "a" / "site", root / "b" / "site"
    shutil.rmtree(root)


@dataclass
class Pair:
    """The primary-to-be and the backup-to-be."""

    a: OneSite
    b: OneSite

    def establish(self) -> None:
        """Establish from a, by command."""
        done = self.a.command("establish", "--backup", self.b.at, "--reverse", self.a.at, "--yes")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def sites(templates: tuple[Path, Path]) -> Iterator[Pair]:
    """Two sites whose processes are not started yet."""
    root = Path(tempfile.mkdtemp(prefix="fo-", dir="/tmp"))
    pair = Pair(made_from(templates[0], root / "a"), made_from(templates[1], root / "b"))
    yield pair
    pair.a.close()
    pair.b.close()
    shutil.rmtree(root)
