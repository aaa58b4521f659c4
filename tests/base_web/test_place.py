"""Where the pages keep their things: key, database, allowed names."""

import sqlite3
import threading
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from staffetta.base.web import database, place
from staffetta.base.web.models import Account
from staffetta.control.paths import ApplianceDescription, AppliancePaths


def test_processes_that_start_at_once_agree_on_the_secret_key(tmp_path: Path) -> None:
    path = tmp_path / "django.key"
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(place.secret_key(path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16
    assert len(set(keys)) == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_names_an_appliance_answers_to(tmp_path: Path) -> None:
    paths = AppliancePaths(tmp_path)
    described = ApplianceDescription(
        name="a",
        hostname="support.example.com",
        appliance_url="https://[2001:db8::7]:9443/appliance",
        site_url="https://site.example.com",
        addresses=("127.0.10.1:8443", "[2001:db8::1]:8443"),
        update_server="http://127.0.10.9",
    )
    paths.settings.write_text('[appliance_pages]\nnames = ["a.nat.example"]\n')
    assert set(place.hosts(paths, described)) >= {
        "support.example.com",
        "site.example.com",
        "127.0.10.1",
        "[2001:db8::1]",
        "[2001:db8::7]",
        "a.nat.example",
    }
    assert "*" not in place.hosts(paths, described)


def test_no_change_of_the_models_lacks_its_migration(db: None) -> None:
    call_command("makemigrations", "appliance", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_migrating_twice_is_the_same_as_once() -> None:
    assert database.migrate().first_account
    again = database.migrate()
    assert (again.applied, again.first_account) == (0, False)
    assert Account.objects.count() == 1


def test_the_database_is_durable_and_a_copy_of_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = settings.DATABASES["default"]["OPTIONS"]
    assert options["transaction_mode"] == "IMMEDIATE"
    source = tmp_path / "base.sqlite3"
    with sqlite3.connect(source) as live:
        live.executescript(options["init_command"])
        assert live.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert live.execute("PRAGMA synchronous").fetchone() == (2,)
        live.execute("CREATE TABLE t (n)")
        live.execute("INSERT INTO t VALUES (1)")
        live.commit()
        live.execute("INSERT INTO t VALUES (2)")  # a writer at work: not committed yet
        monkeypatch.setitem(settings.DATABASES["default"], "NAME", str(source))
        to = tmp_path / "copy.sqlite3"
        assert database.snapshot(to) == to.stat().st_size
    assert to.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(to) as copy:
        assert copy.execute("SELECT n FROM t").fetchall() == [(1,)]
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith(".")) == []
    assert connection.vendor == "sqlite"
