"""Two migrated sites that nobody has used, and the pair of real sites that a test starts from them."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from site_failover.two_sites import OneSite, made_from


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
        done = self.a.command("establish", "--backup", self.b.at, "--reverse", self.a.at)
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
