"""Base under a real keeper: laid out by `init`, asked over its socket, and updated while it serves."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from releases.served import served
from staffetta.base.doctor.findings import Finding, Level
from staffetta.base.doctor.machine import keeper_process
from staffetta.base.doctor.rules import judge
from staffetta.base.doctor.service import examine
from staffetta.base.setup import NewAppliance, initialise
from staffetta.control.appliance import ApplianceControl, ApplianceRefused, EventKind, InstallEvent, JobState
from staffetta.control.paths import AppliancePaths
from staffetta.control.site_door import SiteDoor
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import Unavailable
from staffetta.lab.ports import free_port
from staffetta.packages import Kind
from staffetta.vendor.server import ServerOrder, make_server
from vendor.publisher import Publisher

from .base_packages import SOURCE, runnable_package

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> object:
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s (last: {value!r})")
        time.sleep(0.05)


class LiveBase:
    """An appliance with a real keeper, in a short folder."""

    def __init__(
        self,
        publisher: Publisher,
        url: str,
        address: str = "127.0.0.1",
        site_port: int | None = None,
        shared_address: str | None = None,
        shared_interface: str | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="stb-"))
        (self.folder / "root.json").write_bytes(publisher.root)
        self.port = free_port()
        self.paths: AppliancePaths
        # The packages run this source tree where it lies, which another user may not reach: one user for all.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: 1000)
            self.paths = initialise(
                NewAppliance(
                    folder=self.folder / "a",
                    name="one",
                    hostname="support.example.test",
                    address=address,
                    site_port=site_port or free_port(),
                    appliance_port=self.port,
                    update_server=url,
                    bundle=publisher.bundle("base/base-1.0.tar.zst"),
                    root=self.folder / "root.json",
                    shared_address=shared_address,
                    shared_interface=shared_interface,
                ),
                lambda _: None,
            )
        self.keeper: subprocess.Popen[bytes] | None = None

    def start(self, *before: str) -> None:
        """Start keeper; `before` is a command that runs it, such as one that enters a network namespace."""
        self.keeper = subprocess.Popen(
            [*before, sys.executable, "-m", "staffetta.keeper", "--appliance", str(self.paths.root)],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "keeper.log").open("ab"),
        )

    def kill_keeper(self) -> None:
        assert self.keeper is not None
        self.keeper.kill()
        self.keeper.wait()

    def close(self) -> None:
        if self.keeper is not None and self.keeper.poll() is None:
            self.keeper.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.keeper.wait(30)
            self.keeper.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def control(self) -> ApplianceControl:
        return ApplianceControl(self.paths.control_socket)

    def page(self) -> int:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"https://127.0.0.1:{self.port}/appliance/", context=context, timeout=20) as answer:
            assert b"</html>" in answer.read()
            return int(answer.status)

    def pids(self) -> dict[str, list[int]]:
        """Processes of this appliance by generation, read off the machine."""
        found: dict[str, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    raw = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                    environment = dict(one.partition("=")[::2] for one in raw)
                    if environment.get("STAFFETTA_APPLIANCE") == str(self.paths.root):
                        found.setdefault(environment.get("STAFFETTA_GENERATION", ""), []).append(int(entry.name))
        return found

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text()[-6000:]}"
            for path in (*self.paths.logs.glob("*.log"), self.folder / "keeper.log")
        )


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "vendor", utc_now())
    made.publish(
        runnable_package(made, Kind.BASE, "1.0"),
        runnable_package(made, Kind.BASE, "1.1", eula=b"You may.\n"),
        runnable_package(made, Kind.BASE, "1.2", requires=("base>=1.1",), before="sleep 0.1"),
        runnable_package(made, Kind.BASE, "1.3", before='[ "$1" = web ] && exit 3'),
        now=utc_now(),
    )
    return made


@pytest.fixture
def live(publisher: Publisher) -> Iterator[LiveBase]:
    with served(make_server(ServerOrder(publisher.repository, publisher.keys))) as url:
        one = LiveBase(publisher, url)
        try:
            one.start()
            wait_until(lambda: answers(one), 60, "base's first answer")
            yield one
        except BaseException:
            print(one.logs())
            raise
        finally:
            one.close()


def answers(one: LiveBase) -> bool:
    try:
        with one.control() as control:
            return control.status().base_version != ""
    except Unavailable:
        return False


def follow(one: LiveBase, job: str, seconds: float = 120) -> list[InstallEvent]:
    """Every kept event of a job, across replacements of base."""
    seen: list[InstallEvent] = []
    last, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with one.control() as control:
                for event in control.watch(job, last):
                    if event.sequence is not None:
                        assert event.sequence > last
                        last = event.sequence
                        seen.append(event)
                    if event.kind is EventKind.ENDED:
                        return seen
        except Unavailable:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{job} did not end: {seen}")


class Poller(threading.Thread):
    """Asks for a page on new connections, for as long as told."""

    def __init__(self, one: LiveBase) -> None:
        super().__init__(daemon=True)
        self.one = one
        self.asked, self.failed = 0, []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            self.asked += 1
            try:
                if self.one.page() != 200:
                    self.failed.append("not 200")
            except OSError as error:
                self.failed.append(repr(error))

    def stop(self) -> None:
        self.over.set()
        self.join(30)


@pytest.mark.req("U2", "U3", "U8", "U9", "U10")
def test_base_is_updated_while_it_serves(live: LiveBase) -> None:
    assert live.page() == 200
    with live.control() as control:
        found = control.check_updates("ann")
        assert found.error is None
        offers = {offer.version: offer for offer in found.offers}
        assert not offers["1.2"].selectable
        assert offers["1.2"].needs == ("Needs base 1.1 or newer first; base 1.0 is installed.",)
        with pytest.raises(ApplianceRefused, match="cannot be installed yet"):
            control.install(offers["1.2"].target, "ann")
        with pytest.raises(ApplianceRefused, match="licence agreement"):
            control.install(offers["1.1"].target, "ann")
        control.accept_eula(control.eula().sha256, "ann")
        poller = Poller(live)
        poller.start()
        job = control.install(offers["1.1"].target, "ann")
    events = follow(live, job)
    assert [event.state for event in events][-1] is JobState.COMMITTED, events[-1].text + live.logs()
    wait_until(lambda: len(live.pids()) == 1, 60, "the old generation's end")
    poller.stop()
    assert poller.failed == []
    assert poller.asked > 10
    with live.control() as control:
        status = control.status()
        assert status.base_version == "1.1"
        assert [one.state for one in status.generations if one.version == "1.1"] == ["active"]
        again = control.install("base/base-1.2.tar.zst", "ann")
    command = (sys.executable, "-c", "from staffetta.cli.main import main; main()", "appliance", "watch", again)
    watched = subprocess.run(
        [*command, "--json", "--appliance", str(live.paths.root)], stdout=subprocess.PIPE, timeout=120, check=True
    )
    told = [json.loads(line) for line in watched.stdout.splitlines()]
    assert told[-1]["state"] == JobState.COMMITTED
    assert sum(one["kind"] == EventKind.MOVED for one in told) <= 1, "who was told to move asks the next generation"
    assert str((live.paths.releases("base") / "current").readlink()) == "1.2"
    lines = [json.loads(line) for line in (live.paths.base / "audit.jsonl").read_text().splitlines()]
    assert ("ann", os.getuid()) in {(line["actor"], line["uid"]) for line in lines if line["path"] == "/v1/installs"}


@pytest.mark.req("U10")
def test_a_base_that_crashes_never_gets_a_socket(live: LiveBase) -> None:
    before = live.pids()
    with live.control() as control:
        control.check_updates("ann")
        job = control.install("base/base-1.3.tar.zst", "ann")
        events = follow(live, job)
        assert events[-1].state is JobState.UNDONE
        assert "did not hold" in (control.job(job).error or "")
    assert str((live.paths.releases("base") / "current").readlink()) == "1.0"
    assert not (live.paths.releases("base") / "1.3").exists()
    assert live.pids() == before
    assert live.page() == 200


@pytest.mark.req("U10")
def test_a_keeper_killed_in_mid_update_finishes_it_by_itself(live: LiveBase) -> None:
    with live.control() as control:
        control.check_updates("ann")
        control.accept_eula(control.eula().sha256, "ann")
        job = control.install("base/base-1.1.tar.zst", "ann")
        for event in control.watch(job):
            if event.step in ("prove", "activate", "confirm"):
                break
    live.kill_keeper()
    live.start()
    assert follow(live, job)[-1].state is JobState.COMMITTED
    assert str((live.paths.releases("base") / "current").readlink()) == "1.1"
    assert live.page() == 200


@pytest.mark.req("U10")
def test_an_appliance_laid_out_before_there_was_a_site_door_gets_one(publisher: Publisher) -> None:
    base = LiveBase(publisher, "http://127.0.0.1:1")
    try:
        config = base.paths.keeper / "config.json"
        fields = json.loads(config.read_text())
        fields["sockets"] = [one for one in fields["sockets"] if one["name"] != "site-door"]
        config.write_text(json.dumps(fields))
        base.start()

        def answered() -> bool:
            try:
                with SiteDoor(base.paths.site_door_socket) as door:
                    return door.status().name == "one"
            except (ApplianceRefused, Unavailable):
                return False

        wait_until(answered, 60, "the site door answers")
        assert base.paths.site_door_socket.stat().st_mode & 0o777 == 0o660
        assert base.paths.site_door_socket.stat().st_gid == base.paths.site.stat().st_gid
        assert "site-door" in (base.paths.keeper / "state.json").read_text(), "keeper opens it from now on"
    finally:
        base.close()


@pytest.mark.req("U18")
def test_the_doctor_asks_whoever_answers(live: LiveBase) -> None:
    def examined() -> dict[str, Finding]:
        return {one.check: one for one in judge(examine(live.paths, "ann", utc_now()))}

    well = examined()
    assert {well[check].level for check in ("keeper", "base", "ports", "update server", "release base")} == {Level.FINE}
    assert well["base"].seen == "Version 1.0 runs and answers."
    assert well["keeper"].seen.startswith("It answers, version ")
    assert keeper_process(live.paths)
    live.kill_keeper()
    wait_until(lambda: not keeper_process(live.paths), 10, "the kernel lets go of keeper's lock")
    down = examined()
    assert down["keeper"].level is Level.ERROR
    assert down["update server"].level is Level.FINE, "it is asked without base"
