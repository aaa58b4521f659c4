"""What the site takes from its appliance, and database work from an event loop."""

import json
import sqlite3
from pathlib import Path

import pytest
from own_site import run_site, site_environment

from staffetta.control.paths import ApplianceDescription, AppliancePaths

_PRINT = (
    "import json\nfrom django.conf import settings as s\n"
    "print(json.dumps([s.STAFFETTA_ADDRESSES, s.ALLOWED_HOSTS, s.TIME_ZONE, s.STAFFETTA_SITE_NAME, "
    "s.DATABASES['default']['NAME'], s.SESSION_COOKIE_NAME, s.DEBUG, "
    "s.STAFFETTA_FACE.place, s.STAFFETTA_FACE.appliance]))"
)


@pytest.fixture
def appliance(tmp_path: Path) -> AppliancePaths:
    """An appliance whose site is not made yet."""
    paths = AppliancePaths(tmp_path)
    paths.site.mkdir()
    description = ApplianceDescription(
        "A", "help.example", "https://a.example:9443/appliance", "https://help.example", ("[2001:db8::1]:8443",), "none"
    )
    paths.description.write_bytes(description.to_bytes())
    return paths


def _printed(paths: AppliancePaths, monkeypatch: pytest.MonkeyPatch) -> str:
    import own_site

    environment = {**site_environment(paths.site), "STAFFETTA_APPLIANCE": str(paths.root)}
    monkeypatch.setattr(own_site, "site_environment", lambda _: environment)
    return run_site(paths.site, "-c", _PRINT)


def test_addresses_names_and_places_come_from_the_appliance(
    appliance: AppliancePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    appliance.settings.write_text('[site]\nmore_hosts = ["192.0.2.9"]\ntime_zone = "Europe/Rome"\n')
    addresses, hosts, zone, name, database, cookie, debug, *face = json.loads(_printed(appliance, monkeypatch))
    assert addresses == ["help.example:443", "[2001:db8::1]:8443"]
    assert {"help.example", "[2001:db8::1]", "192.0.2.9", "localhost"} == set(hosts)
    assert (zone, name, cookie, debug) == ("Europe/Rome", "A", "__Host-staffetta-site", False)
    assert face == ["help.example", "A"]
    assert database == str(appliance.site / "site.sqlite3")
    assert (appliance.site / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_setting_nobody_knows_is_refused(appliance: AppliancePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    appliance.settings.write_text("[site]\nhosts = []\n")
    with pytest.raises(AssertionError, match="no setting 'hosts'"):
        _printed(appliance, monkeypatch)


_LOOP = """
import asyncio, threading
import django; django.setup()
from django.db import connection
from staffetta.site.data import records
from staffetta.site.data.database import THREADS, in_database

def work(number):
    records.append("test.loop", {"number": number})
    return threading.get_ident(), id(connection.connection)

async def main():
    found = await asyncio.gather(*(in_database(work, number) for number in range(60)))
    assert len({thread for thread, _ in found}) <= THREADS
    assert len(set(found)) <= THREADS  # one connection a thread, kept open
    try:
        await in_database(records.append, "test.bad", {"x": object()})
    except Exception as error:
        print(type(error).__name__)

asyncio.run(main())
"""


def test_an_event_loop_works_on_the_database_in_a_few_threads(site_folder: Path) -> None:
    assert run_site(site_folder, "-c", _LOOP).strip() == "BodyNotJson"
    with sqlite3.connect(site_folder / "site.sqlite3") as database:
        found = database.execute("SELECT sequence FROM data_record WHERE kind = 'test.loop' ORDER BY id").fetchall()
    assert [sequence for (sequence,) in found] == list(range(1, 61))
