"""A pair of Debian machines with a network between them: upgraded under a session, its plugs pulled, back again (F9).

The shared address is on a real interface, on one machine at a time, and the neighbours learn where. One pair for all of
it; each test goes on where the one before has ended.
"""

import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest

from staffetta.lab.site import Work
from staffetta.lab.world import wait_until
from vendor.bridge import Turns
from vendor.pair_of_machines import COMPUTER, OnMachine, PairOfMachines, pair_of_machines
from vendor.releases import Vendor

pytestmark = [
    pytest.mark.live,
    pytest.mark.root,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nftables"),
]
UPGRADE_SECONDS = 900.0
NO_CONNECTION = "Connect call failed"
"""What asyncio says when a connection was not established at all."""
CANNOT_ASK = """\
table inet test {{
  chain output {{
    type filter hook output priority 0;
    ip daddr {{ {addresses} }} tcp flags & (syn | ack) == syn drop;
  }}
}}
"""
"""It opens no connection to these addresses, and is reached from them all the same."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PairOfMachines]:
    def vendor(update_server: str) -> Vendor:
        made = Vendor(tmp_path_factory.mktemp("p"))
        made.release("1.0")
        made.make_deb("1.0", update_server)
        return made

    def told(step: str, began: float) -> None:
        print(f"{step}: {time.monotonic() - began:.1f} s")

    began = time.monotonic()
    with pair_of_machines(vendor) as found:
        told("built and installed", began)
        found.install_sites("1.0")
        told("both sites installed", began)
        found.establish()
        told("established", began)
        found.bring_in_the_computer()
        told("the Jump Client enrolled", began)
        yield found


@pytest.mark.req("F1", "F7", "F8", "F9", "C4", "S1")
def test_the_pair_is_upgraded_under_a_session_and_the_address_moves_to_the_other_machine(pair: PairOfMachines) -> None:
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
    print(f"upgraded in {taken:.1f} s")
    for name, account in (("new connections", new), ("kept alive", kept), ("who is there", who)):
        print(f"{name}: {account['failed']} of {account['requests']} failed {account['failures']}")
    print(
        f"no page for {new['longest_gap_ms']:.0f} ms on new connections, {kept['longest_gap_ms']:.0f} ms on kept ones"
    )

    assert [side.status()["role"] for side in pair.sides] == ["backup", "primary"]
    assert all(side.runs("1.1") for side in pair.sides)
    assert [side.shared_address() for side in pair.sides] == ["released", "held"]
    assert pair.holders() == ["bravo"]
    assert pair.where() == {places[1]}
    assert turns.places == places
    assert [turn["origin"] for turn in who["turns"]] == [side.status()["origin"] for side in pair.sides]
    assert new["requests"] > 1000
    for account in (new, kept, who):
        assert account["failed"] == len(account["failures"]), "else not every failure is looked at"
        assert not any(NO_CONNECTION in failure for failure in account["failures"]), account["failures"]
    assert new["failed"] <= 1, "one connection at a time: at most the one under way at the turn"
    assert_nothing_lost(pair, work)
    wait_until("the Jump Client to follow", lambda: pair.client_version() == "1.1", 300, every=1)


@pytest.mark.req("F4", "F5", "F9", "S1")
def test_the_plug_of_the_primary_is_pulled_and_it_comes_back_as_the_backup(pair: PairOfMachines) -> None:
    heir, dead = pair.sides
    work = pair.technician.work_on(COMPUTER)
    place = take_over_from_the_dead(pair, heir, dead, work)
    with pair.bridge.watching(pair.shared) as turns:
        who = pair.user("weathervane", pair.url)
        began = time.monotonic()
        dead.switch_on()
        wait_until("the old primary to be the backup", lambda: dead.is_now("backup"), 90)
        print(f"switched on: backup after {time.monotonic() - began:.1f} s")
        wait_until("it to look at the shared address", lambda: dead.shared_address() == "released", 60)
        time.sleep(5)
    account = pair.world.account(who, 90)
    assert turns.places == [place], "nobody was told of another place"
    assert account["failed"] == 0, account["failures"]
    assert [turn["origin"] for turn in account["turns"]] == [heir.status()["origin"]]
    assert heir.is_now("primary")
    assert pair.holders() == [heir.name]
    assert_nothing_lost(pair, work)


@pytest.mark.req("F4", "F5", "F9", "F11", "S1")
def test_an_old_primary_that_cannot_ask_its_peer_is_told_to_step_down(pair: PairOfMachines) -> None:
    """It serves after half a minute and takes the address, since nobody answers it; its peer reaches it."""
    dead, heir = pair.sides
    work = pair.technician.work_on(COMPUTER)
    place = take_over_from_the_dead(pair, heir, dead, work)
    dead.machine.firewall(CANNOT_ASK.format(addresses=f"{heir.address}, {pair.shared}"))
    pages = pair.user("poller", f"{pair.url}/login/", "--interval", 0.2)
    with pair.bridge.watching(pair.shared) as turns:
        began = time.monotonic()
        dead.switch_on()
        wait_until("the old primary to step down", lambda: dead.is_now("backup"), 120)
        told = time.monotonic() - began
        wait_until("it to let go of the shared address", lambda: dead.shared_address() == "released", 60)
        left = time.monotonic() - began
        wait_until("the neighbours to find the primary", lambda: pair.where() == {place}, 60)
        found = time.monotonic() - began
        time.sleep(5)
    account = pair.world.account(pages, 90)
    print(f"switched on: told to step down by {told:.1f} s, address let go by {left:.1f} s, found by {found:.1f} s")
    print_turns(turns, began)
    print(f"{account['failed']} of {account['requests']} pages failed, gaps {account['gaps']}: {account['failures']}")
    assert pair.where() == {place}
    assert turns.places[-1] == place
    assert heir.is_now("primary")
    assert [side.shared_address() for side in pair.sides] == ["released", "held"]
    assert pair.holders() == [heir.name]
    dead.machine.run("nft", "flush", "ruleset")
    assert_nothing_lost(pair, work)


def take_over_from_the_dead(pair: PairOfMachines, heir: OnMachine, dead: OnMachine, work: Work) -> str:
    """Pull the primary's plug and have its backup take its place; return where the shared address is then."""
    place = heir.machine.hardware_address()
    pages = pair.user("poller", f"{pair.url}/login/", "--interval", 0.2)
    time.sleep(2)
    before = sum(note["event"] == "resumed" for note in work.noted())
    began = time.monotonic()
    dead.machine.pull_the_plug()
    heir.staffetta("failover", "become-primary", "--no-sync", "--yes")
    commanded = time.monotonic() - began
    wait_until(
        "the session to be resumed", lambda: sum(note["event"] == "resumed" for note in work.noted()) > before, 60
    )
    resumed = time.monotonic() - began
    wait_until("the address", lambda: heir.shared_address() == "held" and heir.machine.has_address(pair.shared), 60)
    wait_until("the neighbours to know", lambda: pair.where() == {place}, 60)
    known = time.monotonic() - began
    time.sleep(2)
    account = pair.world.account(pages, 90)
    print(
        f"plug pulled: primary after {commanded:.1f} s, session resumed after {resumed:.1f} s, neighbours know after "
        f"{known:.1f} s; no page for {account['longest_gap_ms']:.0f} ms, {account['failed']} of "
        f"{account['requests']} failed {account['failures']}"
    )
    return place


def assert_nothing_lost(pair: PairOfMachines, work: Work) -> None:
    """End the session: every keystroke has arrived once, and the recording shows it."""
    account: dict[str, Any] = work.finish(pair.admin)
    print(f"session: longest pause {account['longest_pause_ms']:.0f} ms, resumed {account['resumed']} times")
    assert (account["ended"], account["lost"], account["doubled"]) == (False, 0, 0)
    assert account["sent"] > 0
    assert account["resumed"] >= 1
    assert account["recording"] == "complete"


def print_turns(turns: Turns, began: float) -> None:
    for moment, place in turns.seen:
        print(f"at {moment - began:.1f} s found at {place}")
