"""The previous release writes on: its own tests of what it writes hold on a database that this release has migrated."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from staffetta.lab.previous import previous_tree

ROOT = Path(__file__).parents[2]
WRITERS = (
    "test_file_store",
    "test_fleet",
    "test_records",
    "test_sessions",
    "test_signing_in",
    "test_users",
)
"""The old tests of what is written to the database by the process that tests. Others start a site of their own."""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The previous release's source tree."""
    # A copy without its history, such as an archive, has no previous release to take.
    if not (ROOT / ".git").exists():
        pytest.skip("the previous release is a commit of the history, and there is none here")
    return previous_tree(ROOT, tmp_path_factory.mktemp("previous") / "tree").source


@pytest.fixture
def folder(migrated: Path, tmp_path: Path) -> Path:
    """A site's folder in which the database that tests use was made by this release's migrations."""
    folder = tmp_path / "old-site"
    folder.mkdir(mode=0o700)
    (folder / "secret.key").write_bytes((migrated / "secret.key").read_bytes())
    with (
        contextlib.closing(sqlite3.connect(migrated / "site.sqlite3")) as source,
        contextlib.closing(sqlite3.connect(folder / "test.sqlite3")) as copy,
    ):
        source.backup(copy)
    return folder


def run_old_tests(previous: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the previous release's tests with its own code on the database of this folder, which they remove."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STAFFETTA_", "PYTEST_"))}
    environment |= {"STAFFETTA_SITE_DATABASE": str(folder / "site.sqlite3"), "PYTHONPATH": str(previous / "src")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--reuse-db", "--maxfail=3",
         "--ds=staffetta.site.web.settings", *arguments],
        cwd=previous, env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip


@pytest.mark.live
@pytest.mark.timeout(600)
@pytest.mark.req("U10", "U15")
def test_the_old_codes_write_tests_hold_on_the_new_schema(previous: Path, folder: Path) -> None:
    done = run_old_tests(previous, folder, *(f"tests/site/{name}.py" for name in WRITERS))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.live
@pytest.mark.req("U10")
def test_a_column_that_old_code_does_not_fill_turns_them_red(previous: Path, folder: Path) -> None:
    """What they run on is the database that they are given, and a migration that does more than add is seen."""
    with contextlib.closing(sqlite3.connect(folder / "test.sqlite3")) as database, database:
        database.execute("ALTER TABLE fleet_jumpclient RENAME COLUMN enrolled_by_token TO enrolled_by")
    done = run_old_tests(previous, folder, "tests/site/test_fleet.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no such column: fleet_jumpclient.enrolled_by_token" in done.stdout
