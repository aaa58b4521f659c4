"""A pair of Debian machines with a network between them: upgraded under a session, its plugs pulled, back again (F9).

The shared address is on a real interface, on one machine at a time, and the neighbours learn where.
"""

import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from staffetta.lab.site import Work
from staffetta.lab.world import wait_until
from vendor.bridge import Turns
from vendor.pair_of_machines import COMPUTER, OnMachine, PairOfMachines, pair_of_machines
from vendor.releases import Vendor

UPGRADE_SECONDS = 900.0
NO_CONNECTION = "Connect call failed"
"""What asyncio says when a connection was not established at all."""
OPENS_NOTHING = """\
table inet test {{
  chain output {{
    type filter hook output priority 0;
    ip daddr {{ {peer}, {shared} }} tcp flags & (syn | ack) == syn drop;
  }}
  chain input {{
    type filter hook input priority 0;
    {lets_in}
  }}
}}
"""
"""A firewall: it opens no connection to its peer nor to the shared address. ``lets_in`` says what comes in."""
ABSENT_SECONDS = 15
"""So long a machine is without power that is to ask its peer before it serves; after less it was only restarted."""

Tell = Callable[[str, object], None]


@pytest.mark.live
@pytest.mark.root
@pytest.mark.soak
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nftables")
@pytest.mark.req("F1", "F4", "F5", "F7", "F8", "F9", "F11", "U10", "C4", "S1")
@pytest.mark.timeout(1800)
def test_a_pair_of_machines(tmp_path_factory: pytest.TempPathFactory, record_property: Tell) -> None:
    def vendor(update_server: str) -> Vendor:
        made = Vendor(tmp_path_factory.mktemp("p"))
        made.release("1.0")
        made.make_deb("1.0", update_server)
        return made

    def tell(what: str, value: object) -> None:
        print(f"{what}: {value}")
        record_property(what, value)

    with pair_of_machines(vendor) as pair:
        pair.install_sites("1.0")
        pair.establish()
        pair.bring_in_the_computer()
        first, second = pair.sides
        _is_upgraded_under_a_session(pair, tell)
        _comes_back_as_the_backup(pair, first, second, tell)
        _is_told_to_step_down(pair, second, first, tell)
        _gives_the_address_back(pair, first, second, tell)


def _is_upgraded_under_a_session(pair: PairOfMachines, tell: Tell) -> None:
    first = pair.sides[0]
    pair.vendor.release("1.1", "--require", "base>=1.1")
    for side in pair.sides:
        side.staffetta("appliance", "updates", "check")
        side.staffetta("appliance", "grant-pair-upgrade")
    places = [side.machine.hardware_address() for side in pair.sides]
    work = pair.technician.work_on(COMPUTER)
    page = f"{pair.url}/login/"
    users = [
        pair.user("poller", page, "--interval", 0.05),
        pair.user("poller", page, "--interval", 0.2, "--keep-alive", "--clients", 2),
        pair.user("weathervane", pair.url),
    ]
    wait_until("the neighbours to know", lambda: pair.where() == {places[0]}, 20)
    assert pair.holders() == ["alpha"]
    with pair.bridge.watching(pair.shared) as turns:
        began = time.monotonic()
        print(first.staffetta("failover", "upgrade", "--asynchronous", seconds=UPGRADE_SECONDS))
        taken = time.monotonic() - began
    time.sleep(2)
    new, kept, who = (pair.world.account(user, 90) for user in users)
    tell("upgraded in", f"{taken:.1f} s")
    for name, account in (("new connections", new), ("kept connections", kept)):
        tell(name, _pages(account))

    assert [side.status()["role"] for side in pair.sides] == ["backup", "primary"]
    assert all(side.runs("1.1") for side in pair.sides)
    assert [side.shared_address() for side in pair.sides] == ["released", "held"]
    assert pair.holders() == ["bravo"]
    assert pair.where() == {places[1]}
    assert turns.places == places
    assert [turn["origin"] for turn in who["turns"]] == [side.status()["origin"] for side in pair.sides]
    assert new["requests"] > 4 * taken, "else a busy machine has left moments out"
    for account in (new, kept, who):
        assert account["failed"] == len(account["failures"]), "else not every failure is looked at"
        assert not any(NO_CONNECTION in failure for failure in account["failures"]), account["failures"]
    assert new["failed"] <= 1, "one connection at a time: at most the one under way at the turn"
    _nothing_is_lost(pair, work, tell)
    wait_until("the Jump Client to follow", lambda: pair.client_version() == "1.1", 300, every=1)


def _comes_back_as_the_backup(pair: PairOfMachines, heir: OnMachine, dead: OnMachine, tell: Tell) -> None:
    """An old primary that reaches its peer serves nobody, and tells no neighbour that the address was there."""
    work = pair.technician.work_on(COMPUTER)
    place = _takes_over_from_the_dead(pair, heir, dead, work, tell)
    time.sleep(ABSENT_SECONDS)
    with pair.bridge.watching(pair.shared) as turns:
        who = pair.user("weathervane", pair.url)
        _comes_back(dead, tell)
        time.sleep(5)
    account = pair.world.account(who, 90)
    assert turns.places == [place], "nobody was told of another place"
    assert account["failed"] == 0, account["failures"]
    assert [turn["origin"] for turn in account["turns"]] == [heir.status()["origin"]]
    _is_as_before(pair, heir, work, tell)


def _is_told_to_step_down(pair: PairOfMachines, heir: OnMachine, dead: OnMachine, tell: Tell) -> None:
    """An old primary, back at once, that cannot ask its peer and finds nobody at the shared address."""
    work = pair.technician.work_on(COMPUTER)
    place = _takes_over_from_the_dead(pair, heir, dead, work, tell)
    dead.machine.firewall(OPENS_NOTHING.format(peer=heir.address, shared=pair.shared, lets_in=""))
    pages = pair.user("poller", f"{pair.url}/login/", "--interval", 0.2)
    with pair.bridge.watching(pair.shared) as turns:
        began = time.monotonic()
        _comes_back(dead, tell)
        wait_until("the neighbours to find the primary", lambda: pair.where() == {place}, 60)
        time.sleep(5)
    _tell_turns(turns, began, tell)
    tell("pages meanwhile", _pages(pair.world.account(pages, 90)))
    assert "the peer serves with a lower term: it is told to step down" in heir.log("site-worker")
    assert turns.places[-1] == place
    _is_as_before(pair, heir, work, tell)


def _gives_the_address_back(pair: PairOfMachines, heir: OnMachine, dead: OnMachine, tell: Tell) -> None:
    """The worst: neither reaches the other at first, so the old primary serves and takes the address."""
    work = pair.technician.work_on(COMPUTER)
    place = _takes_over_from_the_dead(pair, heir, dead, work, tell)
    time.sleep(ABSENT_SECONDS)
    silent = f"ip saddr {heir.address} drop;"
    dead.machine.firewall(OPENS_NOTHING.format(peer=heir.address, shared=pair.shared, lets_in=silent))
    wrong = ""
    with pair.bridge.watching(pair.shared) as turns:
        began = time.monotonic()
        dead.switch_on()
        wrong = dead.machine.hardware_address()
        wait_until("the old primary to take the address", lambda: dead.shared_address() == "held", 90)
        tell("wrongly taken after", f"{time.monotonic() - began:.1f} s")
        wait_until("the neighbours to be misled", lambda: turns.places[-1:] == [wrong], 60)
        pages = pair.user("poller", f"{pair.url}/login/", "--interval", 0.2)
        time.sleep(2)
        dead.machine.run("nft", "delete", "chain", "inet", "test", "input")
        reached = time.monotonic()
        wait_until("it to step down", lambda: dead.is_now("backup"), 60)
        tell("told to step down after", f"{time.monotonic() - reached:.1f} s")
        wait_until("it to let go of the address", lambda: dead.shared_address() == "released", 60)
        tell("let go after", f"{time.monotonic() - reached:.1f} s")
        wait_until("the neighbours to find the primary", lambda: pair.where() == {place}, 60)
        tell("found by the neighbours after", f"{time.monotonic() - reached:.1f} s")
        time.sleep(35)
    _tell_turns(turns, reached, tell)
    tell("pages meanwhile", _pages(pair.world.account(pages, 90)))
    assert turns.places[-1] == place
    _is_as_before(pair, heir, work, tell)


def _takes_over_from_the_dead(pair: PairOfMachines, heir: OnMachine, dead: OnMachine, work: Work, tell: Tell) -> str:
    """Pull the primary's plug and have its backup take its place; return where the shared address is then."""
    place = heir.machine.hardware_address()
    pages = pair.user("poller", f"{pair.url}/login/", "--interval", 0.2)
    time.sleep(2)
    before = _resumed(work)
    began = time.monotonic()
    dead.machine.pull_the_plug()
    heir.staffetta("failover", "become-primary", "--no-sync", "--yes")
    tell("plug pulled, primary after", f"{time.monotonic() - began:.1f} s")
    wait_until("the session to be resumed", lambda: _resumed(work) > before, 60)
    tell("session resumed after", f"{time.monotonic() - began:.1f} s")
    wait_until("the address", lambda: heir.shared_address() == "held" and heir.machine.has_address(pair.shared), 60)
    wait_until("the neighbours to know", lambda: pair.where() == {place}, 60)
    tell("neighbours know after", f"{time.monotonic() - began:.1f} s")
    wait_until("a page", lambda: pair.answers(), 60)
    time.sleep(2)
    tell("pages meanwhile", _pages(pair.world.account(pages, 90)))
    return place


def _comes_back(dead: OnMachine, tell: Tell) -> None:
    """Switch it on; it becomes the backup and has no shared address."""
    began = time.monotonic()
    dead.switch_on()
    wait_until("the old primary to be the backup", lambda: dead.is_now("backup"), 90)
    tell("switched on, backup after", f"{time.monotonic() - began:.1f} s")
    wait_until("it to have no shared address", lambda: dead.shared_address() == "released", 60)
    tell("without the shared address after", f"{time.monotonic() - began:.1f} s")


def _is_as_before(pair: PairOfMachines, heir: OnMachine, work: Work, tell: Tell) -> None:
    """The one that took over is the primary and alone has the address; the session goes on, nothing of it is lost."""
    assert heir.is_now("primary")
    assert pair.holders() == [heir.name]
    assert pair.where() == {heir.machine.hardware_address()}
    for side in pair.sides:
        side.machine.firewall("")
        side.machine.run("nft", "flush", "ruleset")
    _nothing_is_lost(pair, work, tell)


def _nothing_is_lost(pair: PairOfMachines, work: Work, tell: Tell) -> None:
    """End the session: every keystroke has arrived once, and the recording shows it."""
    pair.sign_in()  # anew: the connection that the browser had kept has ended with the move
    account: dict[str, Any] = work.finish(pair.admin)
    tell("longest pause of the session", f"{account['longest_pause_ms'] / 1000:.1f} s")
    assert (account["ended"], account["lost"], account["doubled"]) == (False, 0, 0)
    assert account["sent"] > 0
    assert account["resumed"] >= 1
    assert account["recording"] == "complete"


def _resumed(work: Work) -> int:
    return sum(note["event"] == "resumed" for note in work.noted())


def _pages(account: dict[str, Any]) -> str:
    longest = f"none for {account['longest_gap_ms'] / 1000:.1f} s at most"
    return f"{account['failed']} of {account['requests']} failed, {longest} {account['failures']}"


def _tell_turns(turns: Turns, began: float, tell: Tell) -> None:
    tell("places of the address", ", ".join(f"{place} at {moment - began:.1f} s" for moment, place in turns.seen))
