"""The site door and what stands behind it: grants, installs for a pair job, and the shared address over a keeper in
memory that writes down what it was asked."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from staffetta.base.errors import (
    GrantDamaged,
    GrantRefused,
    NotGranted,
    SharedAddressDamaged,
    SharedAddressRefused,
    StaleTerm,
)
from staffetta.base.pairing import shared as shared_module
from staffetta.base.pairing.following import Following
from staffetta.base.pairing.grants import Grants
from staffetta.base.pairing.shared import (
    ANNOUNCE_SECONDS,
    HANDS_OFF_SECONDS,
    LINGER_ON_INTERFACE_SECONDS,
    LINGER_SECONDS,
    Place,
    SharedAddressService,
    answers,
)
from staffetta.base.service.site_door import SiteDoorServer
from staffetta.cli.appliance_cmd import group
from staffetta.control.appliance import ApplianceControl, ApplianceRefused, JobState
from staffetta.control.pairing import SharedPhase, SharedState
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.control.site_door import SiteDoor
from staffetta.kernel.errors import Unavailable
from staffetta.packages import Kind

from .machine import Machine
from .test_control_socket import DESCRIPTION, Office, office

__all__ = ["office"]  # the fixture

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
HELD, RELEASED, DISABLED = SharedState.HELD, SharedState.RELEASED, SharedState.DISABLED


@dataclass
class Clock:
    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Side:
    """One appliance's shared address."""

    def __init__(self, folder: Path, description: ApplianceDescription, taken: bool = False) -> None:
        self.machine = Machine(folder / "a", b"", {})
        self.paths: AppliancePaths = self.machine.paths
        self.description = description
        self.clock = Clock()
        self.taken = taken
        self.service = self.again()

    def again(self) -> SharedAddressService:
        async def taken(_: Place) -> bool:
            return self.taken

        return SharedAddressService(self.paths, self.description, self.machine, self.clock, taken)

    def asked(self) -> list[str]:
        asked, self.machine.asked[:] = list(self.machine.asked), []
        return asked

    async def state(self) -> SharedState:
        return (await self.service.read()).state


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_module, "LEAVE_SECONDS", 0.0)


ON_INTERFACE = replace(DESCRIPTION, shared_interface="eth7")
LISTEN = "listen 127.0.10.3:443 ['freebind', 'reuse_port']"


@pytest.mark.req("F9")
async def test_each_phase_asks_keeper_what_it_should_and_may_be_done_again(tmp_path: Path) -> None:
    side = Side(tmp_path, ON_INTERFACE)
    for phase, asked in (
        (SharedPhase.HOLD, []),  # nothing is held yet: nothing to hold
        (SharedPhase.JOIN, [LISTEN]),
        (SharedPhase.TURN, [LISTEN, "claim 127.0.10.3/32 on eth7", "steer 100"]),
        (SharedPhase.SETTLE, ["claim 127.0.10.3/32 on eth7", "steer 0"]),
        (SharedPhase.HOLD, ["steer 0"]),
        (SharedPhase.LEAVE, ["unlisten", "release 127.0.10.3 on eth7"]),
        (SharedPhase.CLAIM, [LISTEN, "claim 127.0.10.3/32 on eth7", "steer 100"]),
        (SharedPhase.RELEASE, ["unlisten", "release 127.0.10.3 on eth7"]),
    ):
        first = await side.service.do(phase, 3)
        assert side.asked() == asked, phase
        again = await side.service.do(phase, 3)
        assert again == first, phase
        assert side.asked() == [one for one in asked if one != "unlisten"], phase
    with pytest.raises(SharedAddressRefused, match="join first"):
        await side.service.do(SharedPhase.SETTLE, 3)


async def test_a_command_of_a_term_that_is_over_is_refused_also_by_the_next_base(tmp_path: Path) -> None:
    side = Side(tmp_path, DESCRIPTION)
    await side.service.do(SharedPhase.CLAIM, 7)
    for service in (side.service, side.again()):
        with pytest.raises(StaleTerm, match="role term 7"):
            await service.do(SharedPhase.RELEASE, 6)
    assert await side.state() is HELD
    assert (await side.service.do(SharedPhase.RELEASE, 8)).state is RELEASED


@pytest.mark.req("F9", "H5")
async def test_what_is_not_enabled_is_left_and_never_taken(tmp_path: Path) -> None:
    side = Side(tmp_path, DESCRIPTION)
    await side.service.follow("alone", 0)
    assert await side.state() is HELD
    assert (await side.service.enable(False)).state is DISABLED
    side.service = side.again()  # it is remembered
    await side.service.follow("primary", 1)
    assert await side.state() is DISABLED
    for phase in (SharedPhase.JOIN, SharedPhase.TURN, SharedPhase.CLAIM):
        with pytest.raises(SharedAddressRefused, match="shared-address enable"):
            await side.service.do(phase, 1)
    await side.service.enable(True)
    await side.service.follow("primary", 1)
    assert await side.state() is HELD


@pytest.mark.req("F9", "F11")
async def test_it_follows_the_role_and_a_new_backup_lingers(tmp_path: Path) -> None:
    side = Side(tmp_path, DESCRIPTION)
    await side.service.follow("backup", 1)
    assert await side.state() is RELEASED
    await side.service.follow("primary", 2)
    assert await side.state() is HELD
    await side.service.follow("backup", 3)
    assert await side.state() is HELD, "until the new primary has it"
    side.clock.seconds += LINGER_SECONDS - 1
    await side.service.follow("backup", 3)
    assert await side.state() is HELD
    side.clock.seconds += 2
    await side.service.follow("backup", 3)
    assert await side.state() is RELEASED
    await side.service.follow("primary", 4)
    await side.service.follow("backup", 5)
    side.clock.seconds += LINGER_SECONDS - 1
    await side.service.follow("primary", 6)
    side.clock.seconds += LINGER_SECONDS
    await side.service.follow("backup", 7)
    assert await side.state() is HELD, "each time anew"


@pytest.mark.req("F9", "F11")
async def test_on_an_interface_a_new_backup_does_not_linger_for_long(tmp_path: Path) -> None:
    """Two machines that have one address both answer who asks for the neighbour."""
    side = Side(tmp_path, ON_INTERFACE)
    await side.service.follow("primary", 2)
    await side.service.follow("backup", 3)
    assert await side.state() is HELD
    side.clock.seconds += LINGER_ON_INTERFACE_SECONDS
    await side.service.follow("backup", 3)
    assert await side.state() is RELEASED
    assert side.asked()[-1] == "release 127.0.10.3 on eth7"


async def test_a_primary_announces_itself_again_when_the_other_has_left(tmp_path: Path) -> None:
    side = Side(tmp_path, ON_INTERFACE)
    await side.service.follow("primary", 2)
    side.asked()
    await side.service.follow("primary", 2)
    assert side.asked() == []
    side.clock.seconds += 2 * LINGER_ON_INTERFACE_SECONDS
    await side.service.follow("primary", 2)
    assert side.asked() == ["claim 127.0.10.3/32 on eth7"]
    await side.service.follow("primary", 2)
    assert side.asked() == []
    for _ in range(10):
        side.clock.seconds += ANNOUNCE_SECONDS
        await side.service.follow("primary", 2)
    assert 3 < len(side.asked()) < 10, "not for ever: who else holds it would lose it again and again"
    await side.again().follow("primary", 2)
    assert side.asked() == [], "nor because base was started anew"


async def test_a_primary_announces_itself_when_another_one_has_stepped_down(tmp_path: Path) -> None:
    side = Side(tmp_path, ON_INTERFACE)
    await side.service.follow("primary", 3)
    side.clock.seconds += 600
    side.asked()
    await side.service.follow("primary", 3, "primary")
    assert side.asked() == []
    await side.service.follow("primary", 3, "backup")
    side.clock.seconds += 2 * LINGER_ON_INTERFACE_SECONDS
    await side.service.follow("primary", 3, "backup")
    assert side.asked() == ["claim 127.0.10.3/32 on eth7"]


async def test_a_primary_that_comes_back_takes_nothing_from_whoever_answers_there(tmp_path: Path) -> None:
    side = Side(tmp_path, DESCRIPTION, taken=True)
    await side.service.follow("primary", 2)
    assert await side.state() is HELD, "whoever has just become primary takes it"
    await side.service.follow("backup", 2)
    side.clock.seconds += LINGER_SECONDS
    await side.service.follow("backup", 2)
    for again in (side.again(), side.again()):
        await again.follow("primary", 2)
        assert await side.state() is RELEASED, "in the same term it may be an old primary"
    await side.again().follow("primary", 2, "backup")
    assert await side.state() is HELD, "the other lingers, and says that it is the backup"
    await side.service.enable(False)
    await side.service.enable(True)
    await side.again().follow("primary", 2)
    assert await side.state() is HELD, "a person has said so"


async def test_who_held_it_already_when_it_became_primary_takes_nothing_later(tmp_path: Path) -> None:
    side = Side(tmp_path, DESCRIPTION)
    await side.service.follow("alone", 1)
    await side.service.follow("primary", 2)
    await side.machine.unlisten("shared")  # keeper died
    side.taken = True
    await side.again().follow("primary", 2)
    assert await side.state() is RELEASED


async def test_what_keeper_could_not_do_is_still_due_for_the_next_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = Side(tmp_path, ON_INTERFACE, taken=True)

    async def no_interface(*_: object) -> None:
        raise Unavailable("There is no interface eth7.")

    with monkeypatch.context() as patched:
        patched.setattr(side.machine, "claim_address", no_interface)
        with pytest.raises(Unavailable):
            await side.service.follow("primary", 2)
    side.asked()
    with monkeypatch.context() as patched:
        patched.setattr(shared_module, "is_here", lambda _: False)
        await side.again().follow("primary", 2)
    assert "claim 127.0.10.3/32 on eth7" in side.asked()
    await side.machine.unlisten("shared")  # keeper died
    await side.again().follow("primary", 2)
    assert await side.state() is RELEASED, "it is due once"


async def test_an_address_left_on_an_interface_by_a_keeper_that_died_is_taken_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = Side(tmp_path, ON_INTERFACE)  # 127.0.10.3 is on every machine, as if it were left
    await side.service.follow("backup", 2)
    side.clock.seconds += LINGER_SECONDS
    await side.service.follow("backup", 2)
    assert side.asked() == ["release 127.0.10.3 on eth7"]
    monkeypatch.setattr(shared_module, "is_here", lambda _: False)
    side.clock.seconds += 2 * LINGER_SECONDS
    await side.service.follow("backup", 2)
    assert side.asked() == []


async def test_one_that_is_alone_takes_nothing_from_whoever_answers_there(tmp_path: Path) -> None:
    side = Side(tmp_path, DESCRIPTION, taken=True)
    await side.service.follow("alone", 0)
    assert await side.state() is RELEASED
    side.taken = False
    await side.service.follow("alone", 0)
    assert await side.state() is RELEASED, "asked again only after a while"
    side.clock.seconds += 60
    await side.service.follow("alone", 0)
    assert await side.state() is HELD
    listener = await asyncio.start_server(lambda *_: None, "127.0.10.3", 0)
    port = listener.sockets[0].getsockname()[1]
    assert await answers(Place("127.0.10.3", port, None))
    listener.close()
    await listener.wait_closed()
    assert not await answers(Place("127.0.10.3", port, None))


async def test_in_the_middle_of_a_swing_the_role_is_not_followed(tmp_path: Path) -> None:
    side = Side(tmp_path, DESCRIPTION)
    await side.service.do(SharedPhase.JOIN, 2)
    await side.service.follow("backup", 1)
    side.clock.seconds += HANDS_OFF_SECONDS - 1
    await side.service.follow("backup", 1)
    assert await side.state() is HELD
    side.clock.seconds += LINGER_SECONDS + 2
    await side.service.follow("backup", 1)
    side.clock.seconds += LINGER_SECONDS
    await side.service.follow("backup", 1)
    assert await side.state() is RELEASED, "a swing that was given up"


async def test_an_appliance_without_one_says_so_and_a_damaged_file_too(tmp_path: Path) -> None:
    none = Side(tmp_path / "none", replace(DESCRIPTION, shared_address=None))
    assert await none.state() is SharedState.ABSENT
    with pytest.raises(SharedAddressRefused, match="without a shared address"):
        await none.service.do(SharedPhase.CLAIM, 1)
    with pytest.raises(SharedAddressRefused):
        await none.service.enable(True)
    side = Side(tmp_path / "one", DESCRIPTION)
    for text in ("{", "{}", '{"enabled": 1, "term": 1}'):
        (side.paths.base / "shared-address.json").write_text(text)
        with pytest.raises(SharedAddressDamaged):
            await side.service.read()


async def test_following_asks_the_site_and_outlives_its_silence(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("staffetta.base.pairing.following.LOOK_SECONDS", 0.01)
    following: Following = office.pairing.following
    machine = office.machine
    machine.silent_answers = 3
    following.start()
    try:
        await until(lambda: any(one.name == "shared" for one in machine.sockets))
        assert machine.silent_answers == 0
        (machine.paths.base / "shared-address.json").write_text("{")
        await asyncio.sleep(0.1)
        (machine.paths.base / "shared-address.json").unlink()
        machine.role_term = {4}  # what nobody has thought of
        await asyncio.sleep(0.1)
        monkeypatch.setattr(shared_module, "LINGER_SECONDS", 0.0)
        machine.role, machine.role_term = "backup", 4
        await until(lambda: not machine.sockets)
        assert (await office.pairing.shared.read()).term == 4
    finally:
        await following.stop()
    machine.role = "primary"
    await asyncio.sleep(0.1)
    assert machine.sockets == [], "stopped"


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


# Grants


@pytest.mark.req("F7")
def test_a_grant_serves_one_pair_job_until_its_time_is_over(tmp_path: Path) -> None:
    now = NOW
    grants = Grants(tmp_path / "grant.json", lambda: now)
    with pytest.raises(NotGranted, match="grant-pair-upgrade"):
        grants.use("pair-1")
    given = grants.give(24, "ann")
    assert (given.granted_by, given.granted_at, given.until, given.job) == ("ann", NOW, NOW + timedelta(hours=24), None)
    assert grants.current() == given
    assert grants.use("pair-1").job == "pair-1"
    assert grants.use("pair-1").job == "pair-1"
    with pytest.raises(NotGranted, match="used by the pair job pair-1"):
        Grants(tmp_path / "grant.json", lambda: now).use("pair-2")
    now = NOW + timedelta(hours=24)
    assert grants.current() is None
    with pytest.raises(NotGranted):
        grants.use("pair-1")
    grants.give(1, "bea")
    assert grants.use("pair-2").granted_by == "bea"
    grants.withdraw()
    with pytest.raises(NotGranted):
        grants.use("pair-2")
    for hours in (0, 169, -1):
        with pytest.raises(GrantRefused, match="1 to 168"):
            grants.give(hours, "ann")
    (tmp_path / "grant.json").write_text("[")
    with pytest.raises(GrantDamaged):
        grants.current()


def test_what_is_withdrawn_while_it_is_used_stays_withdrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grants = Grants(tmp_path / "grant.json", lambda: NOW)
    grants.give(24, "ann")
    write, withdrawing = Grants._write, threading.Thread(target=grants.withdraw)

    def slow(self: Grants, grant: object) -> None:
        if not withdrawing.ident:
            withdrawing.start()
            withdrawing.join(0.2)
        write(self, grant)  # type: ignore[arg-type]

    monkeypatch.setattr(Grants, "_write", slow)
    grants.use("pair-1")
    withdrawing.join(20)
    assert grants.current() is None


@pytest.mark.req("F7", "U2", "U8")
async def test_the_pair_job_installs_only_what_is_granted_and_each_step_once(office: Office) -> None:
    target = "site/site-1.1.tar.zst"

    def work() -> None:
        with SiteDoor(office.machine.paths.site_door_socket) as door, ApplianceControl(office.path) as control:
            refused(lambda: door.begin_install("pair-1", "a-site", target), "not-granted", 403)
            control.grant_pair_upgrade(24, "ann")
            refused(lambda: door.begin_install("pair-1", "a-site", target), "not-found", 404)  # not on offer
            offer(office)
            refused(lambda: door.begin_install("pair-1", "a-site", target), "eula-not-accepted", 403)
            control.accept_eula(control.eula().sha256, "ann")
            assert control.pair_grant().job is None, "nothing was begun with it yet"
            refused(lambda: door.begin_install("pair 1", "a-site", target), "invalid-request", 400)
            refused(lambda: door.begin_install("pair-1", "", target), "invalid-request", 400)
            job = door.begin_install("pair-1", "a-site", target)
            assert door.begin_install("pair-1", "a-site", target) == job
            assert control.pair_grant().job == "pair-1"
            refused(lambda: door.begin_install("pair-1", "a-site", "site/other"), "step-taken", 409)
            while not (seen := door.install(job)).state.ended:
                pass
            assert seen.state is JobState.UNDONE, "the update server of this test does not answer"
            assert seen.actor == "pair job pair-1, step a-site"
            refused(lambda: door.begin_install("pair-2", "a-site", target), "not-granted", 403)
            control.withdraw_pair_upgrade("ann")
            assert door.begin_install("pair-1", "a-site", target) == job, "what was begun is still told"
            refused(lambda: door.begin_install("pair-1", "b-site", target), "not-granted", 403)
            refused(lambda: door.install("job-x"), "not-found", 404)

    await asyncio.to_thread(work)
    lines = office.audit("audit-site-door.jsonl")
    assert {line["socket"] for line in lines} == {"site-door"}
    assert {line["socket"] for line in office.audit()} == {"control"}
    assert {line["uid"] for line in lines} == {os.getuid()}
    assert {"pair job pair-1, step a-site"} < {line["actor"] for line in lines}
    assert any(line["status"] == 403 for line in lines)
    ended = [line for line in office.audit() if line["status"] is not None]
    assert [line["actor"] for line in ended if line["path"] == "/v1/pair/grant/withdraw"] == ["ann"]


@pytest.mark.req("H5")
async def test_a_site_that_asks_without_end_holds_up_nobody_else(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = office.machine.paths.site_door_socket
    checking = 0
    goes_on = threading.Event()

    def check() -> object:
        nonlocal checking
        checking += 1
        goes_on.wait(30)
        return office.updates.updates()

    monkeypatch.setattr(office.updates, "check", check)
    held = []
    try:
        for _ in range(60):
            reader, writer = await asyncio.open_unix_connection(path)
            held.append((reader, writer))
            body = b'{"actor": "x"}'
            writer.write(b"POST /v1/updates/check HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        ended = [asyncio.ensure_future(reader.read()) for reader, _ in held]
        async with asyncio.timeout(20):
            while sum(one.done() for one in ended) < 60 - SiteDoorServer.MOST_CONNECTIONS:
                await asyncio.sleep(0.01)

        def control() -> None:
            with ApplianceControl(office.path) as control:
                assert control.status().name == "one"
                control.grant_pair_upgrade(24, "ann")

        async with asyncio.timeout(20):
            await asyncio.to_thread(control)
        assert checking == 1, "one thread is at it, the others wait"
    finally:
        goes_on.set()
        for _, writer in held:
            writer.close()

    def door() -> None:
        with SiteDoor(path) as door:
            assert door.status().name == "one"

    async with asyncio.timeout(20):
        while True:
            try:
                await asyncio.to_thread(door)
                break
            except Unavailable:  # those who went away are not forgotten at once
                await asyncio.sleep(0.02)


def offer(office: Office) -> None:
    """As a check of the update server leaves it: the site package is on offer, its agreement known."""
    bundle = office.publisher.bundle("site/site-1.1.tar.zst")
    upload = office.updates.upload_path("offered.bundle")
    upload.write_bytes(bundle.read_bytes())
    from_bundle = office.updates._bundle_repository("offered.bundle")
    infos = office.updates._refresh(from_bundle, None)
    for info in infos:
        office.updates._note_agreement(from_bundle, info)
    shown = office.updates._answers.read()
    office.updates._answers.write(
        replace(shown, checked_at=NOW, infos=tuple(info for info in infos if info.kind is Kind.SITE), error=None)
    )


def refused(ask: Callable[[], object], code: str, status: int) -> None:
    with pytest.raises(ApplianceRefused) as met:
        ask()
    assert (met.value.code, met.value.http_status) == (code, status), met.value.message
    assert met.value.message.endswith(".")


@pytest.mark.req("F9", "H5")
async def test_the_door_tells_the_picture_and_is_a_closed_list(office: Office) -> None:
    def work() -> None:
        with SiteDoor(office.machine.paths.site_door_socket) as door, ApplianceControl(office.path) as control:
            status = door.status()
            assert (status.name, status.base_version, status.site_version) == ("one", "1.0", "1.0")
            assert (status.shared.state, status.shared.address, status.shared.port) == (RELEASED, "127.0.10.3", 443)
            assert status.shared.present
            assert (status.grant, door.grant(), status.job) == (None, None, None)
            grant = control.grant_pair_upgrade(2, "ann")
            assert door.grant() == control.pair_grant() == grant
            control.withdraw_pair_upgrade("ann")
            assert control.pair_grant() is None
            refused(lambda: control.grant_pair_upgrade(200, "ann"), "grant-refused", 400)
            assert door.shared(SharedPhase.CLAIM, 5, "cleo").state is HELD
            assert control.shared_address().state is HELD
            assert door.shared(SharedPhase.RELEASE, 5, "cleo").state is RELEASED
            refused(lambda: door.shared(SharedPhase.CLAIM, 4, "cleo"), "stale-term", 409)
            assert control.enable_shared_address(False, "ann").state is DISABLED
            found = door.check_updates("cleo")
            assert found.error is not None
            assert door.status().updates_error == found.error
            for method, path, body in (
                ("POST", "/v1/shared/burn", {"term": 9, "actor": "x"}),
                ("POST", "/v1/shared/claim", {"term": "9", "actor": "x"}),
                ("POST", "/v1/shared/claim", {"term": 9}),
                ("POST", "/v1/shared/claim", {"term": -1, "actor": "x"}),
            ):
                refused(lambda p=path, b=body, m=method: door._request(m, p, json=b), "invalid-request", 400)
            for path in ("/v1/eula", "/v1/pair/grant", "/v1/shared-address", "/v1/certificates/site"):
                refused(lambda p=path: door._request("POST", p, json={"actor": "x"}), "invalid-request", 404)

    await asyncio.to_thread(work)


@pytest.mark.req("F7", "F9", "H5")
async def test_the_commands_say_what_they_did(office: Office) -> None:
    folder = str(office.machine.paths.root)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(group, [*arguments, "--appliance", folder], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def work() -> None:
        assert run("shared-address", "disable") == "127.0.10.3, port 443: disabled\n"
        assert "127.0.10.3, port 443: released\nIt is taken when this" in run("shared-address", "enable")
        assert json.loads(run("shared-address", "status", "--json"))["state"] == "released"
        assert "permitted on this appliance until 20" in run("grant-pair-upgrade", "--hours", "1")
        assert office.pairing.grants.current() is not None
        assert "No pair upgrade" in run("grant-pair-upgrade", "--withdraw")
        assert office.pairing.grants.current() is None
        wrong = CliRunner().invoke(group, ["grant-pair-upgrade", "--hours", "169", "--appliance", folder])
        assert wrong.exit_code == 2

    await asyncio.to_thread(work)
