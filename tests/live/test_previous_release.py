"""From the release before this one: its appliance, Jump Clients and console are upgraded to this tree, unnoticed."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from staffetta.control.paths import AppliancePaths
from staffetta.lab.appliance import Administrator, install_base
from staffetta.lab.judge import bounds
from staffetta.lab.publisher import NEW, OLD
from staffetta.lab.single import Single
from staffetta.lab.world import Tree, wait_until
from worlds import a_story

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def told() -> Iterator[Single]:
    """The story, told to its end; its world stays up for what is asked afterwards."""
    with a_story(Single, previous=True) as story:
        story.run()
        yield story


@pytest.mark.req("U10", "U12", "U15", "U17", "S1")
def test_nobody_notices(told: Single) -> None:
    report = told.report
    assert report.problems == []
    assert report.outcome == "upgraded"
    assert report.http["failed"] == 0
    assert report.http["requests"] > 1000
    (session,) = report.sessions
    assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
    assert session["resumed"] >= 1
    assert session["recording"] == "complete"
    assert all(one.holds for one in bounds(report, expected="upgraded", kills=False))


def test_its_clients_stay_connected_at_their_version(told: Single) -> None:
    """They cannot update themselves, so nobody judges whether they did."""
    assert told.report.fleet is None
    assert {(one["version"], one["online"]) for one in told.admin.fleet()["clients"]} == {(OLD, True)}


def test_it_was_the_old_release(told: Single) -> None:
    """Told apart by what the older of the two sites could not do."""
    releases = told.appliance.folder / "releases" / "site"
    assert (releases / "current").resolve().name == NEW
    found = {one.name: bool(list(one.glob("lib/**/site/failover"))) for one in releases.iterdir() if one.is_dir()}
    assert found[NEW]
    assert not found[OLD]


class Door(http.client.HTTPConnection):
    """HTTP on a local socket."""

    def __init__(self, path: str) -> None:
        super().__init__("appliance", timeout=20)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@pytest.mark.req("U10", "U15")
def test_a_newer_keeper_and_its_appliance_live_with_the_older_base(told: Single) -> None:
    """Keeper and `appliance init` come from the operating system's package, which may be newer than base."""
    world = told.world
    world.older = Tree(world.source, world.staffetta, (world.python,))
    delta = install_base(world, "delta", 4, told.published, {}, shared=world.address(5))
    administrator = Administrator(delta)
    administrator.first_sign_in()
    administrator.check()
    administrator.accept_eula()
    before = delta.active("base")
    assert (delta.folder / "releases" / "base" / "current").resolve().name == OLD
    administrator.install_to_end("base", NEW)
    assert delta.active("base") != before
    door = Door(str(AppliancePaths(delta.folder).site_door_socket))
    door.request("GET", "/v1/status")
    assert door.getresponse().status == 200, "what the older base did not know, the newer one serves"
    door.close()

    administrator.install_to_end("site", NEW)

    def held() -> bool:
        return bool(json.loads(delta.control("shared-address", "status", "--json"))["state"] == "held")

    wait_until("the shared address to be held", held, 30)
