"""The doctor on the shared address: role, interface and what the machine carries agree, or it says what to do."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from staffetta.base.doctor import address_rules, addresses
from staffetta.base.doctor.facts import Damaged, InterfaceSeen, SharedSeen, Unseen
from staffetta.base.doctor.findings import Finding, Level
from staffetta.control.paths import AppliancePaths, read_description

from .test_doctor import AS_ROOT, found, give, paths, publisher

__all__ = ["paths", "publisher"]

pytestmark = pytest.mark.req("U18", "F9")

LO = InterfaceSeen("lo", True, ("127.0.0.1/8", "::1/128"))
ETH0 = InterfaceSeen("eth0", True, ("192.0.2.10/24", "2001:db8::10/64"))
WITH = replace(ETH0, addresses=(*ETH0.addresses, "192.0.2.12/32"))
PRIMARY = SharedSeen("192.0.2.12", "eth0", True, "primary", True, (LO, WITH))
BACKUP = replace(PRIMARY, role="backup", held=False, interfaces=(LO, ETH0))


def judged(seen: SharedSeen | None, runs: bool = True) -> list[Finding]:
    return list(address_rules.shared(seen, runs))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (PRIMARY, "on eth0; this appliance is the primary"),
        (BACKUP, "not on this machine; this appliance is the backup"),
        (replace(PRIMARY, role="alone"), "on eth0; this appliance is alone"),
        (replace(BACKUP, enabled=False), "not enabled"),
        (replace(BACKUP, role=None, held=None), "there is no site"),
        (replace(BACKUP, interface=None), "brought by others; this appliance is the backup"),
        (
            replace(PRIMARY, interfaces=(replace(ETH0, addresses=("198.51.100.7/24", "192.0.2.12/32")),)),
            "A router must lead it here: it is in no network of eth0.",
        ),
        (replace(PRIMARY, interface=None, address="127.0.10.3", interfaces=(LO,)), "this appliance is the primary"),
        (replace(BACKUP, interface=None, interfaces=(replace(LO, addresses=("192.0.2.12/32",)),)), "on lo"),
        (
            replace(
                PRIMARY,
                address="2001:db8::12",
                interfaces=(replace(ETH0, addresses=("2001:db8::10/64", "2001:db8::12/128")),),
            ),
            "2001:db8::12 is on eth0",
        ),
    ],
)
def test_where_everything_agrees_there_is_nothing_to_do(seen: SharedSeen, words: str) -> None:
    (one,) = judged(seen)
    assert (one.level, one.todo) == (Level.FINE, "")
    assert words in one.seen


def test_an_appliance_without_one_is_not_judged() -> None:
    assert judged(None) == []


@pytest.mark.parametrize(
    ("seen", "level", "words", "todo"),
    [
        (replace(PRIMARY, interfaces=(LO, ETH0)), Level.ERROR, "is on no interface", "failover status"),
        (replace(PRIMARY, role="alone", interfaces=(LO, ETH0)), Level.WARNING, "is on no interface", "192.0.2.12"),
        (replace(PRIMARY, held=False), Level.ERROR, "does not listen", "failover status"),
        (replace(PRIMARY, enabled=False, held=False, interfaces=(ETH0,)), Level.WARNING, "not enabled", "enable`"),
        (replace(PRIMARY, interface=None, interfaces=(LO, ETH0)), Level.WARNING, "base puts it on no", "load balancer"),
        (replace(BACKUP, interfaces=(LO, WITH)), Level.ERROR, "is the backup: who asks", "disable`, then `enable`"),
        (replace(BACKUP, enabled=False, interfaces=(WITH,)), Level.ERROR, "it is not enabled", "disable`."),
        (replace(BACKUP, interface=None, interfaces=(WITH,)), Level.WARNING, "is the backup", "to the primary"),
        (replace(BACKUP, interfaces=(replace(ETH0, up=False),)), Level.WARNING, "is down", "ip link set eth0 up"),
        (replace(PRIMARY, interfaces=(replace(WITH, up=False),)), Level.ERROR, "is down", "ip link set eth0 up"),
        (replace(BACKUP, interfaces=(LO,)), Level.WARNING, "does not have (it has lo)", "--shared-interface"),
        (replace(BACKUP, interfaces=(replace(ETH0, carrier=False),)), Level.WARNING, "no carrier", "cable"),
        (replace(PRIMARY, interfaces=(replace(WITH, carrier=False),)), Level.ERROR, "no carrier", "cable"),
        (replace(BACKUP, interface=None, held=True), Level.WARNING, "is the backup: a load balancer", "quarter"),
        (replace(BACKUP, held=True, enabled=False), Level.WARNING, "listens at 192.0.2.12, but it is not", "logs"),
        (
            replace(PRIMARY, enabled=Damaged("shared-address.json is damaged.")),
            Level.ERROR,
            "does not move it",
            "Remove it, then `staffetta appliance shared-address enable`",
        ),
        (
            replace(PRIMARY, interfaces=(replace(ETH0, addresses=("192.0.2.10/24", "192.0.2.12/24")),)),
            Level.WARNING,
            "192.0.2.12/24 is on eth0, but base puts it there as /32",
            "`ip address del 192.0.2.12/24 dev eth0`",
        ),
        (
            replace(BACKUP, interfaces=(ETH0, InterfaceSeen("e 1", True, ("192.0.2.12/24",)))),
            Level.ERROR,
            "is on e 1, but base puts it on eth0",
            "`ip address del 192.0.2.12/24 dev 'e 1'`",
        ),
    ],
)
def test_what_does_not_agree_is_said_once_with_what_to_do(
    seen: SharedSeen, level: Level, words: str, todo: str
) -> None:
    (one,) = judged(seen)
    assert one.level is level
    assert words in one.seen
    assert todo in one.todo


def test_while_base_is_down_it_is_not_told_to_do_anything() -> None:
    (one,) = judged(replace(PRIMARY, held=None, interfaces=(LO, ETH0)), runs=False)
    assert (one.level, "Start what does not run" in one.todo) == (Level.ERROR, True)
    (one,) = judged(replace(BACKUP, held=None, interfaces=(LO, WITH)), runs=False)
    assert (one.level, one.todo) == (Level.ERROR, "Run `ip address del 192.0.2.12/32 dev eth0`.")


def test_what_is_not_known_is_said_and_nothing_is_concluded_from_it() -> None:
    for unseen, todo in (
        (replace(PRIMARY, role=Unseen("The role is not known.")), "Run this as root."),
        (replace(PRIMARY, enabled=Unseen("Nobody says whether.")), "Run this as root."),
        (replace(PRIMARY, interfaces=Unseen("`ip` is missing.")), ""),
    ):
        (one,) = judged(unseen)
        assert (one.level, one.todo) == (Level.UNSEEN, todo)


# What is seen of a machine whose appliance does not run


@pytest.fixture
def pair(paths: AppliancePaths) -> Iterator[AppliancePaths]:
    described = replace(read_description(paths), shared_address="192.0.2.12", shared_interface="lo")
    described = replace(described, addresses=("192.0.2.12:443", *described.addresses))
    paths.description.write_bytes(described.to_bytes())
    yield paths


def stored_role(paths: AppliancePaths, role: str) -> None:
    path = paths.site / "site.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS data_siteinstance (role)")
        database.execute("DELETE FROM data_siteinstance")
        database.execute("INSERT INTO data_siteinstance VALUES (?)", (role,))
        database.commit()
    if AS_ROOT:
        os.chown(path, 20002, 20002)


def test_the_interfaces_of_this_machine_are_seen() -> None:
    seen = addresses.interfaces()
    assert not isinstance(seen, Unseen)
    (lo,) = [one for one in seen if one.name == "lo"]
    assert (lo.up, "127.0.0.1/8" in lo.addresses) == (True, True)


def test_role_and_setting_are_read_from_the_disk_while_nothing_runs(pair: AppliancePaths) -> None:
    (one,) = found(pair)["shared address"]
    assert (one.level, "there is no site" in one.seen) == (Level.FINE, True)
    stored_role(pair, "primary")
    (one,) = found(pair)["shared address"]
    assert (one.level, "This appliance is the primary, but 192.0.2.12 is on no" in one.seen) == (Level.ERROR, True)
    stored_role(pair, "backup")
    (one,) = found(pair)["shared address"]
    assert (one.level, "this appliance is the backup" in one.seen) == (Level.FINE, True)
    (pair.base / "shared-address.json").write_text('{"enabled": false, "term": 3}')
    give(pair)
    (one,) = found(pair)["shared address"]
    assert (one.level, "it is not enabled" in one.seen) == (Level.FINE, True)


@pytest.mark.parametrize("damage", ["{", "a folder"])
def test_what_is_damaged_is_named(pair: AppliancePaths, damage: str) -> None:
    stored_role(pair, "backup")
    memory: Path = pair.base / "shared-address.json"
    memory.mkdir() if damage == "a folder" else memory.write_text(damage)
    give(pair)
    (one,) = found(pair)["shared address"]
    assert (one.level, str(memory) in one.seen) == (Level.ERROR, True)
    assert "Remove it" in one.todo


def test_a_database_without_a_role_is_named(pair: AppliancePaths) -> None:
    (pair.site / "site.sqlite3").write_bytes(b"no database at all" * 100)
    if AS_ROOT:
        os.chown(pair.site / "site.sqlite3", 20002, 20002)
    (one,) = found(pair)["shared address"]
    assert (one.level, "role of the site could not be read" in one.seen) == (Level.UNSEEN, True)
