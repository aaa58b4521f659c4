"""The control socket as its client sees it: real sockets, the real runner, keeper in memory; and the audit log."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from click.testing import CliRunner, Result

from staffetta.base.certificates.service import CertificateService
from staffetta.base.metrics.access import MetricsTokens
from staffetta.base.metrics.service import MetricsService
from staffetta.base.pairing.service import Pairing
from staffetta.base.service.audit import KEPT, LARGEST, AuditLog, Peer
from staffetta.base.service.control import ControlServer
from staffetta.base.service.site_door import SiteDoorServer
from staffetta.base.status import StatusService
from staffetta.cli.appliance_cmd import group
from staffetta.control.appliance import ApplianceControl, ApplianceRefused, EventKind, JobState, from_json, to_json
from staffetta.control.appliance import Certificate as Shown
from staffetta.control.measures import FleetMeasures, PairMeasures, PauseMeasures, SiteMeasures
from staffetta.control.paths import ApplianceDescription
from staffetta.front.certificates import CertificateStore
from staffetta.front.door import Door
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import Damaged, Unavailable
from staffetta.packages import Kind
from vendor.publisher import Publisher

from .machine import Machine

DESCRIPTION = ApplianceDescription(
    "one",
    "support.example.test",
    "https://127.0.0.1:9443",
    "https://support.example.test",
    ("127.0.10.3:443",),
    "https://updates",
    "127.0.10.3",
)


class Office:
    """A machine with its control socket open."""

    def __init__(self, machine: Machine, publisher: Publisher) -> None:
        self.machine, self.publisher = machine, publisher
        self.updates = machine.updates()
        self.path = machine.paths.control_socket
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen(64)
        self.door_listener = socket.socket(socket.AF_UNIX)
        self.door_listener.bind(str(self.machine.paths.site_door_socket))
        self.door_listener.listen(64)

    async def open(self) -> None:
        self.machine.run()
        while self.machine.holder is None or not self.machine.processes[self.machine.holder].journal.is_held:
            await asyncio.sleep(0.001)
        installs = self.machine.processes[self.machine.holder]
        paths = self.machine.paths
        status = StatusService(paths, DESCRIPTION, self.machine, self.machine, installs, self.updates)
        certificates = CertificateService(paths, DESCRIPTION)
        certificates.ensure()
        self.pairing = Pairing.of(paths, DESCRIPTION, self.machine, status, installs, self.updates)
        tokens = MetricsTokens(paths.base / "metrics.json", "https://192.0.2.1:8443/metrics")
        self.metrics = MetricsService(paths, tokens, status, installs, self.updates, certificates)
        audit = AuditLog.of(paths.base)
        self.server = ControlServer(status, installs, self.updates, certificates, self.pairing, tokens, audit)
        await self.server.accept_on([self.listener])
        self.door = SiteDoorServer(self.pairing, AuditLog.of(paths.base, "site-door"))
        await self.door.accept_on([self.door_listener])

    async def close(self) -> None:
        await self.server.close()
        await self.door.close()
        await self.machine.close()
        self.listener.close()
        self.door_listener.close()

    def audit(self, name: str = "audit.jsonl") -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.machine.paths.base / name).read_text().splitlines()]


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    folder = Path(tempfile.mkdtemp(prefix="stc-"))
    publisher = Publisher(tmp_path / "vendor")
    for kind in (Kind.BASE, Kind.SITE):
        publisher.release(kind, "1.0")
    publisher.release(Kind.SITE, "1.1", eula=b"Be kind.\n")
    installed = {}
    for kind in (Kind.BASE, Kind.SITE):
        installed[kind] = folder / "old" / kind.value / "1.0"
        installed[kind].mkdir(parents=True)
        (installed[kind] / "manifest.json").touch()
    machine = Machine(folder / "a", publisher.root, installed)
    machine.paths.certificates.mkdir()
    one = Office(machine, publisher)
    await one.open()
    yield one
    await one.close()
    shutil.rmtree(folder)


@pytest.mark.req("U3", "U4", "U8")
async def test_an_uploaded_bundle_is_installed_and_followed(office: Office) -> None:
    bundle = office.publisher.bundle("site/site-1.1.tar.zst")

    def work() -> list[str]:
        with ApplianceControl(office.path) as control:
            with pytest.raises(ApplianceRefused, match="licence agreement") as refused:
                control.install_file(bundle, "ann")
            assert (refused.value.code, refused.value.http_status, refused.value.exit_status) == (
                "eula-not-accepted",
                403,
                3,
            )
            eula = control.eula()
            assert (eula.text, eula.accepted) == ("Be kind.\n", False)
            control.accept_eula(eula.sha256, "ann")
            assert control.eula().accepted_by == "ann"
            job = control.install_file(bundle, "ann")
            steps = [event for event in control.watch(job) if event.kind is not EventKind.PROGRESS]
            assert steps[-1].state is JobState.COMMITTED
            assert control.job(job).version == "1.1"
            assert [one.id for one in control.jobs()] == [job]
            assert control.status().site_version == "1.1"
            return [event.step for event in steps]

    steps = await asyncio.to_thread(work)
    assert steps[:3] == ["verify", "reserve", "download"]
    uploads = office.machine.paths.base / "packages/uploads"
    assert [path.name for path in uploads.iterdir() if path.suffix == ".part"] == []
    lines = office.audit()
    assert {(line["uid"], line["pid"]) for line in lines} == {(os.getuid(), os.getpid())}
    assert ("ann", "POST", "/v1/eula", 200) in {
        (line["actor"], line["method"], line["path"], line["status"]) for line in lines
    }
    assert any(line["status"] == 403 and str(line["path"]).startswith("/v1/installs/upload") for line in lines)


async def test_an_upload_is_on_the_disk_before_its_job_is_written(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    office.publisher.release(Kind.SITE, "1.2")
    bundle = office.publisher.bundle("site/site-1.2.tar.zst")

    def work() -> None:
        with ApplianceControl(office.path) as control:
            monkeypatch.setattr(os, "fsync", noting)
            job = control.install_file(bundle, "ann")
            monkeypatch.undo()
            assert list(control.watch(job))[-1].state is JobState.COMMITTED

    await asyncio.to_thread(work)
    part = next(number for number, name in enumerate(synced) if name.endswith(".bundle.part"))
    assert part < synced.index("uploads", part) < synced.index("installs.jsonl")


async def test_an_upload_that_does_not_fit_is_refused_before_it_is_sent(office: Office) -> None:
    reader, writer = await asyncio.open_unix_connection(str(office.path))
    writer.write(
        b"POST /v1/installs/upload?actor=ann HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000000\r\n\r\n"
    )
    async with asyncio.timeout(20):
        assert b" 507 " in await reader.readline()
    writer.close()
    assert list((office.machine.paths.base / "packages/uploads").iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EIO, 500)])
async def test_nothing_is_changed_that_cannot_be_audited(
    office: Office, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    sync = os.fsync

    def broken(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "audit.jsonl":
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", broken)

    def work() -> None:
        with ApplianceControl(office.path) as control:
            with pytest.raises(ApplianceRefused, match="audit log") as refused:
                control.check_updates("ann")
            assert refused.value.http_status == status
            assert refused.value.message.endswith("Nothing was done.")
            assert control.updates().checked_at is None
            assert control.updates().error is None
            assert control.status().name == "one", "what only reads is answered"

    await asyncio.to_thread(work)


async def test_a_change_whose_end_cannot_be_audited_says_so(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    write = AuditLog.write

    def broken(log: AuditLog, *values: object, durable: bool) -> None:
        if values[-1] is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        write(log, *values, durable=durable)  # type: ignore[arg-type]

    monkeypatch.setattr(AuditLog, "write", broken)

    def work() -> None:
        match = "may have been done"
        with ApplianceControl(office.path) as control, pytest.raises(ApplianceRefused, match=match):
            control.check_updates("ann")

    await asyncio.to_thread(work)


async def test_refusals_come_with_code_sentence_and_status(office: Office) -> None:
    def work() -> None:
        with ApplianceControl(office.path) as control:
            for ask, status, code in (
                (lambda: control.install("site/none", "ann"), 404, "not-found"),
                (lambda: control.install("site/none", ""), 400, "invalid-request"),
                (lambda: control.job("job-x"), 404, "not-found"),
                (lambda: list(control.watch("job-x")), 404, "not-found"),
                (lambda: control.eula(), 404, "not-found"),
                (lambda: control.replace_certificate("site", "x", "ann"), 400, "certificate-refused"),
                (lambda: control.replace_certificate("mail", "x", "ann"), 404, "not-found"),
            ):
                with pytest.raises(ApplianceRefused) as refused:
                    ask()
                assert (refused.value.http_status, refused.value.code) == (status, code)
                assert refused.value.message.endswith(".")
            found = control.check_updates("ann")
            assert found.error is not None
            status = control.status()
            assert (status.name, status.base_version, status.site_version) == ("one", "1.0", "1.0")
            assert status.site_first_password is True
            assert {one.name for one in control.certificates()} == {"site", "appliance"}

    await asyncio.to_thread(work)


async def test_a_closed_socket_says_to_try_again(office: Office) -> None:
    await office.server.stop_accepting()
    office.listener.close()
    with pytest.raises(Unavailable, match="try again in a moment"), ApplianceControl(office.path) as control:
        await asyncio.to_thread(control.status)


async def test_another_generation_takes_the_socket_without_a_gap(office: Office) -> None:
    """What connects between two generations waits in the kernel's queue, and is answered by the next."""
    await office.server.stop_accepting()

    def ask() -> str:
        with ApplianceControl(office.path) as control:
            return control.status().name

    asking = asyncio.create_task(asyncio.to_thread(ask))
    await asyncio.sleep(0)
    await office.server.accept_on([office.listener])
    assert await asking == "one"


async def test_a_connection_carries_one_more_answer_once_another_generation_has_the_socket(office: Office) -> None:
    with ApplianceControl(office.path) as control:
        assert await asyncio.to_thread(control.certificates)
        await office.server.stop_accepting()  # the next generation accepts from now on; what is open is answered
        assert await asyncio.to_thread(control.certificates)
        asked = len(office.audit())
        asking = asyncio.create_task(asyncio.to_thread(control.certificates))
        await asyncio.sleep(0.2)
        assert len(office.audit()) == asked, "this generation is not asked any more"
        await office.server.accept_on([office.listener])
        assert await asking


def test_values_survive_the_wire_and_damage_is_noticed() -> None:
    shown = Shown("site", "a", "b", ("c",), utc_now(), utc_now(), ("d",), "e")
    data = json.loads(json.dumps(to_json(shown)))
    assert from_json(Shown, {**data, "newer": 1}) == shown
    for wrong in ({**data, "sans": "c"}, {**data, "not_after": 5}, {k: v for k, v in data.items() if k != "name"}, []):
        with pytest.raises(Damaged):
            from_json(Shown, wrong)


def test_the_audit_log_turns_over_and_keeps_the_newest(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in range(KEPT + 3):
        (tmp_path / "audit.jsonl").write_bytes(b" " * LARGEST)
        log.write(utc_now(), Peer(1, 2, 3), f"a{number}", "POST", "/", 200, durable=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"audit.jsonl.{number}" for number in range(1, KEPT + 1))
    assert f'"a{KEPT + 2}"' in (tmp_path / "audit.jsonl.1").read_text()


@pytest.mark.req("U11")
async def test_metrics_are_off_until_a_command_makes_a_token(office: Office, tmp_path: Path) -> None:
    folder = str(office.machine.paths.root)

    def run(*arguments: str) -> Result:
        done = CliRunner().invoke(group, [*arguments, "--appliance", folder], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    def work() -> str:
        assert "Metrics are off" in run("metrics", "status").stdout
        made = run("metrics", "enable")
        assert "https://192.0.2.1:8443/metrics" in made.stderr, "standard output holds the token alone"
        assert json.loads(run("metrics", "status", "--json").stdout)["enabled"] is True
        return made.stdout.strip()

    token = await asyncio.to_thread(work)
    kept = MetricsTokens(office.machine.paths.base / "metrics.json", "")
    assert kept.permits(token) is True
    assert [(line["method"], line["status"]) for line in office.audit() if line["path"] == "/v1/metrics/token"] == [
        ("POST", None),
        ("POST", 200),
    ]
    assert token not in str(office.audit())
    await asyncio.to_thread(run, "metrics", "disable")
    assert kept.permits(token) is None

    file = tmp_path / "staffetta.token"
    before = os.umask(0)
    try:
        said = await asyncio.to_thread(run, "metrics", "enable", "--output", str(file))
    finally:
        os.umask(before)
    assert (file.stat().st_mode & 0o777, file.read_text().strip() in said.output) == (0o600, False)
    assert kept.permits(file.read_text().strip()) is True
    nowhere = ["metrics", "enable", "--output", str(tmp_path / "no" / "file"), "--appliance", folder]
    assert isinstance((await asyncio.to_thread(CliRunner().invoke, group, nowhere)).exception, FileNotFoundError)
    assert kept.permits(file.read_text().strip()) is True, "nothing was made that nobody has"


@pytest.mark.req("U11")
async def test_metrics_are_answered_to_the_token_alone(office: Office) -> None:
    app = web.Application()
    app.router.add_get("/metrics", office.metrics.handle)
    door = Door(app, CertificateStore(office.machine.paths.certificates / "appliance.pem"))
    office.metrics.door = door
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/metrics")).status == 404
        token = office.metrics.tokens.make("ann", utc_now())
        for header in ({}, {"Authorization": f"Basic {token}"}, {"Authorization": f"Bearer {token}x"}):
            refused = await client.get("/metrics", headers=header)
            assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
        answer = await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        text = await answer.text()
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert 'staffetta_program_up{program="site"} 1.0' in text
        assert 'staffetta_http_requests_total{code="4xx",program="base"} 4.0' in text
        assert "staffetta_site_answers 0.0" in text
        office.metrics.tokens.withdraw()
        assert (await client.get("/metrics", headers={"Authorization": f"Bearer {token}"})).status == 404


async def test_base_hands_on_what_the_site_counts_or_that_it_says_nothing(office: Office) -> None:
    def asked() -> SiteMeasures | None:
        with ApplianceControl(office.path) as control:
            return control.measures()

    assert await asyncio.to_thread(asked) is None
    pair = PairMeasures("b:443", 1.0, None, 1, 2, 3, alarm_codes=("clocks-apart",), alarms=("Set them.",))
    office.machine.measured = SiteMeasures(
        "1.0", "site-1", "primary", 2, 3, 4, FleetMeasures(1, 2, 3, 4), 5, PauseMeasures(), pair=pair
    )
    assert await asyncio.to_thread(asked) == office.machine.measured
