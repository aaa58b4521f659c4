"""What the tests of backups share: appliances with a site, copied from one that was migrated once."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from site_backup.world import FILL, PASSWORD, Appliance


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, settings: Any) -> None:
    """Blobs and work folders of one test are nobody else's."""
    settings.STAFFETTA_SITE_FOLDER = tmp_path


def _migrated_site() -> Iterator[Path]:
    root = Path(tempfile.mkdtemp(prefix="appliance-"))
    made = Appliance.make(root)
    made.run("from django.core.management import call_command; call_command('migrate', verbosity=0)")
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def migrated() -> Iterator[Path]:
    """A migrated site that nobody has used."""
    yield from _migrated_site()


@pytest.fixture(scope="session")
def migrated_elsewhere() -> Iterator[Path]:
    """Another one, with an identity and an origin of its own."""
    yield from _migrated_site()


@pytest.fixture(scope="session")
def filled(migrated: Path) -> Iterator[Path]:
    """A site with users, clients, files, a session with a recording."""
    root = Path(tempfile.mkdtemp(prefix="appliance-"))
    shutil.copytree(migrated, root, dirs_exist_ok=True)
    clients = Appliance.make(root).run(FILL)
    (root / "clients.json").write_text(clients)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def copies() -> Iterator[Callable[[Path], Appliance]]:
    """Copy an appliance into a folder that every user can reach."""
    made: list[Path] = []

    def copy(source: Path) -> Appliance:
        root = Path(tempfile.mkdtemp(prefix="appliance-"))
        shutil.copytree(source, root, dirs_exist_ok=True)
        root.chmod(0o755)
        made.append(root)
        return Appliance.make(root)

    yield copy
    for root in made:
        shutil.rmtree(root)


@pytest.fixture
def old(filled: Path, copies: Callable[[Path], Appliance]) -> Appliance:
    """The site that backups are made of."""
    return copies(filled)


@pytest.fixture
def new(migrated_elsewhere: Path, copies: Callable[[Path], Appliance]) -> Appliance:
    """A new appliance, with an identity of its own."""
    return copies(migrated_elsewhere)


@pytest.fixture
def password(tmp_path: Path) -> tuple[str, str]:
    """The options for a password."""
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return "--password-file", str(path)
