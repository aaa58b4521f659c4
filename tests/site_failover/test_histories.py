"""Random histories of two sites: writes, cuts, crashes, restores, changes of role, breaks; then they must agree.

A history's seed is in its name; nothing that any of the two still held is lost, nothing is there twice.
"""

import contextlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from site_failover.sites import Site, break_up, establish, pair_of, round_of, swap
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.ids import new_id
from staffetta.site.accounts.models import Account
from staffetta.site.data import documents, identity, records
from staffetta.site.data.models import Record
from staffetta.site.data.roles import Role
from staffetta.site.data.sync import Sync
from staffetta.site.failover.sync import service
from staffetta.site.failover.sync.place import sealer

QUICK = 12
SOAK = 3000
STEPS = 25


class Crash(Exception):
    """The process is gone in the middle of what it did."""


class History:
    """One random life of a pair."""

    def __init__(self, seed: int, template: Site, folder: Path, draw: Callable[[str], str]) -> None:
        self.random = random.Random(seed)
        self.sites = pair_of(template, folder, draw)
        self.backups: dict[str, sqlite3.Connection] = {}
        self.broken = False
        self.count = 0

    def run(self) -> None:
        """Take random steps, then let the two come to rest."""
        for _ in range(STEPS):
            step = self.random.choice(
                [self.write, self.write, self.write, self.edit, self.edit, self.sync, self.sync, self.sync,
                 self.crash, self.save, self.restore, self.change]
            )  # fmt: skip
            step()

    def close(self) -> None:
        for site in self.sites:
            site.close()

    def site(self) -> Site:
        return self.random.choice(self.sites)

    def write(self) -> None:
        with self.site():
            for _ in range(self.random.randint(1, 4)):
                self.count += 1
                records.append("test", {"n": self.count})

    def edit(self) -> None:
        """Change configuration where it may be changed."""
        site = self.site()
        with site:
            if identity.role() is Role.BACKUP:
                return
            self.count += 1
            accounts = list(Account.objects.exclude(username="admin").order_by("username"))
            if accounts and self.random.random() < 0.6:
                account = self.random.choice(accounts)
                if self.random.random() < 0.3:
                    account.delete()
                else:
                    account.email = f"{self.count}@example.org"
                    account.save()
            else:
                Account.objects.create(username=f"user-{self.count}", password="!")

    def sync(self) -> None:
        """A round on one side, perhaps cut off at some call."""
        if self.broken:
            return
        one, other = self.random.sample(self.sites, 2)
        self._round(one, other, self._cutter(0.1))

    def crash(self) -> None:
        """A round whose process dies in the middle; the next one has another incarnation."""
        if self.broken:
            return
        one, other = self.random.sample(self.sites, 2)
        left = self.random.randint(1, 9)

        def dies() -> bool:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash
            return False

        self._round(one, other, dies)
        one.restart()

    def save(self) -> None:
        site = self.site()
        self.backups[site.name] = site.saved()

    def restore(self) -> None:
        """An appliance is set back to an older copy of itself, and its processes start anew."""
        site = self.site()
        copy = self.backups.get(site.name)
        if copy is None:
            return
        with site:
            now = (identity.role(), identity.role_term())
        site.put_back(copy)
        site.restart()
        with site:  # the role that the pair has given it meanwhile is found out by asking the peer
            if (identity.role(), identity.role_term()) != now:
                identity.SiteInstance.objects.update(role=now[0], role_term=now[1])
                service.begin_role()

    def change(self) -> None:
        """The roles change: a break, establishing again, or a swap."""
        primary, backup = self._by_role()
        if self.broken:
            establish(*self.random.sample(self.sites, 2))
            self.broken = False
        elif self.random.random() < 0.5:
            break_up(*self.sites)
            self.broken = True
        else:
            swap(primary, backup)

    def rest(self) -> None:
        """Whole rounds until nothing changes."""
        if self.broken:
            establish(*self.sites)
            self.broken = False
        primary, backup = self._by_role()
        for _ in range(2):
            round_of(primary, backup)
            round_of(backup, primary)

    def held(self) -> set[int]:
        """Every record that any of the two holds."""
        return {number for site in self.sites for number in self.numbers(site)}

    def numbers(self, site: Site) -> list[int]:
        with site:
            return sorted(one.body["n"] for one in Record.objects.filter(kind="test"))

    def configuration(self, site: Site, other: Site) -> dict[Any, Any]:
        with other:
            origin = identity.origin()
        with site:
            return {(one.type, one.key): one.body for one in documents.collect(Sync.CONFIG, sealer(origin))}

    def _by_role(self) -> tuple[Site, Site]:
        one, other = self.sites
        with one:
            return (other, one) if identity.role() is Role.BACKUP else (one, other)

    def _cutter(self, chance: float) -> Callable[[], bool]:
        return lambda: self.random.random() < chance

    def _round(self, one: Site, other: Site, cut: Callable[[], bool]) -> None:
        # What was interrupted is done again at another time.
        with contextlib.suppress(StaffettaError, Crash):
            round_of(one, other, cut)


def converge(seed: int, template: Site, folder: Path, draw: Callable[[str], str] = new_id) -> None:
    """Run one history and look."""
    history = History(seed, template, folder, draw)
    try:
        history.run()
        held = history.held()
        history.rest()
        one, other = history.sites
        for site in history.sites:
            assert history.numbers(site) == sorted(held), f"{site.name} of history {seed}"
        assert history.configuration(one, other) == history.configuration(other, one), f"history {seed}"
    finally:
        history.close()


@pytest.mark.req("F3", "F5")
def test_every_history_converges(template: Site, tmp_path: Path) -> None:
    for seed in range(QUICK):
        converge(seed, template, tmp_path / str(seed))


@pytest.mark.soak
@pytest.mark.req("F3", "F5")
@pytest.mark.timeout(3600)
def test_thousands_of_histories_converge(template: Site, tmp_path: Path) -> None:
    for seed in range(QUICK, SOAK):
        converge(seed, template, tmp_path / str(seed))


def set_back(template: Site, folder: Path, draw: Callable[[str], str]) -> None:
    """The shortest history in which an appliance would use a key twice."""
    history = History(0, template, folder, draw)
    try:
        one, other = history.sites
        history.rest()
        with one:
            records.append("test", {"n": 1})
        history.rest()
        copy = one.saved()
        with one:
            records.append("test", {"n": 2})
        history.rest()
        one.put_back(copy)
        one.restart()
        with one:
            records.append("test", {"n": 3})
        history.rest()
        assert history.numbers(one) == history.numbers(other) == [1, 2, 3]
    finally:
        history.close()


@pytest.mark.req("F5")
def test_an_appliance_that_was_set_back_uses_no_key_twice(template: Site, tmp_path: Path) -> None:
    set_back(template, tmp_path, new_id)


@pytest.mark.req("F5")
def test_without_incarnations_it_would(template: Site, tmp_path: Path) -> None:
    """The same, with one name for all lives of an appliance: the test must see what incarnations prevent."""
    with pytest.raises((AssertionError, StaffettaError)):
        set_back(template, tmp_path, lambda name: f"incarnation-of-{name}")
