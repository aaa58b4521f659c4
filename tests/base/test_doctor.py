"""The doctor on a real appliance's folder: each thing that can be wrong is named, with what to do, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from staffetta.base.certificates.service import CertificateService
from staffetta.base.doctor import machine, rules
from staffetta.base.doctor.databases import check_database
from staffetta.base.doctor.facts import BaseSeen, ClockSeen, DatabaseSeen, DatabaseState, Facts, JobSeen, Unseen
from staffetta.base.doctor.findings import Finding, Level, worst
from staffetta.base.doctor.rules import judge
from staffetta.base.doctor.service import examine
from staffetta.base.installs.journal import JOURNAL_NAME
from staffetta.base.installs.record import JobRecord, job_entry
from staffetta.base.layout import User
from staffetta.base.setup import NewAppliance, initialise
from staffetta.base.trust import TimeFloor
from staffetta.cli.doctor_cmd import group
from staffetta.control.appliance import ApplianceStatus, Generation, Job, JobState, Updates
from staffetta.control.measures import PairMeasures
from staffetta.control.paths import AppliancePaths, read_description
from staffetta.front.certificates import make_self_signed
from staffetta.kernel.clock import utc_now
from staffetta.kernel.journal import Journal
from staffetta.lab.ports import free_port
from staffetta.packages import Kind, Version
from vendor.publisher import Publisher

pytestmark = pytest.mark.req("U18")
AS_ROOT = os.geteuid() == 0


def appliance_in(folder: Path, publisher: Publisher) -> AppliancePaths:
    (folder / "root.json").write_bytes(publisher.root)
    paths = initialise(
        NewAppliance(
            folder=folder / "a",
            name="one",
            hostname="support.example.test",
            address="127.0.0.1",
            site_port=free_port(),
            appliance_port=free_port(),
            update_server="http://127.0.0.1:1",
            bundle=publisher.bundle("base/base-1.0.tar.zst"),
            root=folder / "root.json",
            base_user=User(20001, 20001) if AS_ROOT else None,
            site_user=User(20002, 20002) if AS_ROOT else None,
        ),
        lambda _: None,
    )
    CertificateService(paths, read_description(paths)).ensure()
    with closing(sqlite3.connect(paths.base / "base.sqlite3")) as database:
        database.execute("CREATE TABLE some (a)")
        database.commit()
    return paths


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "vendor", utc_now())
    made.publish(made.package(Kind.BASE, "1.0"), now=utc_now())
    return made


@pytest.fixture
def paths(publisher: Publisher) -> Iterator[AppliancePaths]:
    folder = Path(tempfile.mkdtemp(prefix="std-"))
    folder.chmod(0o755)
    made = appliance_in(folder, publisher)
    give(made)
    yield made
    shutil.rmtree(folder)


def give(paths: AppliancePaths) -> None:
    """As base's own process would have left what the fixture made as root."""
    if AS_ROOT:
        for place in (paths.base, paths.certificates):
            for path in place.rglob("*"):
                os.chown(path, 20001, 20002 if place == paths.certificates else 20001)


def found(paths: AppliancePaths, *, online: bool = False) -> dict[str, list[Finding]]:
    every: dict[str, list[Finding]] = {}
    for one in judge(examine(paths, "ann", utc_now(), online=online)):
        every.setdefault(one.check, []).append(one)
    return every


def do(finding: Finding) -> None:
    """What it says: the command between the first two accents."""
    subprocess.run(finding.todo.split("`")[1], shell=True, check=True)


def errors(every: dict[str, list[Finding]]) -> dict[str, str]:
    return {check: one.seen for check, many in every.items() for one in many if one.level is Level.ERROR}


def test_an_appliance_that_is_down_is_whole_but_for_that(paths: AppliancePaths) -> None:
    every = found(paths)
    assert set(errors(every)) == {"keeper"}, errors(every)
    assert every["keeper"][0].todo.startswith("systemctl start staffetta-keeper")
    assert every["release base"][0].level is Level.FINE
    assert every["folders"][0].level is Level.FINE
    assert [one.level for one in every["release site"]] == [Level.WARNING]
    assert every["ports"][0].level is Level.FINE
    assert every["database base"][0].level is Level.FINE
    assert every["install jobs"][0].level is Level.FINE


@pytest.mark.parametrize("online", [True, False])
def test_an_update_server_that_does_not_answer_is_a_warning_when_it_is_asked(
    paths: AppliancePaths, online: bool
) -> None:
    (one,) = found(paths, online=online)["update server"]
    assert one.level is (Level.WARNING if online else Level.UNSEEN)
    assert ("127.0.0.1:1" in one.seen) is online


def test_a_folder_that_others_may_write_to_is_named_with_its_remedy(paths: AppliancePaths) -> None:
    paths.base.chmod(0o777)
    (one,) = found(paths)["folders"]
    assert (one.level, f"{paths.base} has the mode 0777 and not 0700" in one.seen) == (Level.ERROR, True)
    assert "others may write there" in one.seen
    become = "setpriv --reuid 20001 --regid 20001 --clear-groups " if AS_ROOT else ""
    assert one.todo == f"Run `{become}chmod 0700 {paths.base}`."
    do(one)
    assert found(paths)["folders"][0].level is Level.FINE


@pytest.mark.skipif(not AS_ROOT, reason="only root can give a folder away")
@pytest.mark.root
def test_a_folder_and_a_file_of_the_wrong_user_are_named(paths: AppliancePaths) -> None:
    os.chown(paths.site, 0, 0)
    (paths.base / "base.sqlite3").chmod(0o600)
    os.chown(paths.base / "base.sqlite3", 0, 0)
    every = found(paths)
    assert f"{paths.site} belongs to 0:0 and not to 20002:20002" in every["folders"][0].seen
    assert every["folders"][0].todo == f"Run `chown -h 20002:20002 {paths.site}`."
    (file,) = [one for one in every["files"] if one.level is Level.ERROR]
    assert (file.level, "base.sqlite3" in file.seen) == (Level.ERROR, True)
    for one in (*every["folders"], file):
        do(one)
    assert {"folders", "files"}.isdisjoint(errors(found(paths)))


def test_a_folder_that_is_gone_is_named(paths: AppliancePaths) -> None:
    shutil.rmtree(paths.base / "trust")
    assert f"{paths.base / 'trust'} is missing." in [one.seen for one in found(paths)["folders"]]


def test_a_truncated_file_of_a_release_is_named(paths: AppliancePaths) -> None:
    release = paths.releases("base") / "1.0"
    victim = next(
        path
        for path in sorted(release.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != "manifest.json"
    )
    victim.write_bytes(victim.read_bytes()[:-1])
    (one,) = found(paths)["release base"]
    assert one.level is Level.ERROR
    assert victim.name in one.seen
    assert "Install a newer package" in one.todo


def test_a_current_that_leads_nowhere_is_an_error(paths: AppliancePaths) -> None:
    shutil.rmtree(paths.releases("base") / "1.0")
    (one,) = found(paths)["release base"]
    assert (one.level, "no release 1.0" in one.seen) == (Level.ERROR, True)


def test_an_expired_certificate_and_one_for_another_name_are_told_apart(paths: AppliancePaths) -> None:
    (paths.certificates / "site.pem").write_bytes(make_self_signed(["other.example.test"], [], 10))
    service = found(paths)["certificate site"][0]
    assert service.level is Level.WARNING
    assert "support.example.test" in service.seen
    later = examine(paths, "ann", utc_now() + timedelta(days=11), online=False)
    every = {one.check: one for one in judge(later)}
    assert every["certificate site"].level is Level.ERROR
    assert "It expired on" in every["certificate site"].seen
    assert every["certificate appliance"].level is Level.WARNING, "self-signed, and valid for much longer"


def test_a_certificate_that_is_no_certificate_is_an_error(paths: AppliancePaths) -> None:
    (paths.certificates / "appliance.pem").write_text("nothing")
    assert "certificate appliance" in errors(found(paths))


@pytest.mark.req("U6")
def test_a_clock_behind_what_was_signed_is_an_error(paths: AppliancePaths) -> None:
    TimeFloor(paths.base / "trust" / "time.json").raise_to(utc_now() + timedelta(days=3))
    give(paths)
    assert "was signed already" in errors(found(paths))["clock"]


def test_a_port_that_another_program_has_is_named(paths: AppliancePaths) -> None:
    port = read_description(paths).addresses[0].rpartition(":")[2]
    with socket.create_server(("127.0.0.1", int(port))):
        (one,) = found(paths)["ports"]
    assert one.level is Level.ERROR
    assert f"port {port} of 127.0.0.1 (site) is in use" in one.seen
    assert f"({os.getpid()})" in one.seen
    assert found(paths)["ports"][0].level is Level.FINE


def test_a_socket_for_every_address_counts_as_held(paths: AppliancePaths) -> None:
    with socket.create_server(("", 0)) as listener:
        port = listener.getsockname()[1]
        description = replace(read_description(paths), addresses=(f"127.0.0.1:{port}",))
        assert {one.port: one.held for one in machine.ports(description, None)}[port]
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        description = replace(read_description(paths), addresses=(f"[::1]:{port}", f"127.0.0.1:{port}"))
        seen = {one.address: one.held for one in machine.ports(description, None) if one.port == port}
    assert seen == {"::1": True, "127.0.0.1": False}


def test_a_damaged_database_is_named_and_a_whole_one_is_left_as_it_was(paths: AppliancePaths) -> None:
    path = paths.base / "base.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")  # as programs have it; closed in good order, the log is gone
        database.execute("CREATE TABLE filler (a)")
        database.executemany("INSERT INTO filler VALUES (?)", [("x" * 2000,) for _ in range(200)])
        database.commit()
    before = sorted(one.name for one in paths.base.iterdir())
    seen = check_database(paths, "base")
    assert isinstance(seen, DatabaseSeen)
    assert seen.state is DatabaseState.WHOLE
    assert sorted(one.name for one in paths.base.iterdir()) == before, "nothing is left behind"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 200_000)
        file.write(b"\xff" * 150_000)
    assert str(path) in errors(found(paths))["database base"]


def test_a_database_at_work_is_read_beside_its_program(paths: AppliancePaths) -> None:
    path = paths.base / "base.sqlite3"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE filler (a)")
        database.commit()
        seen = check_database(paths, "base")
        assert isinstance(seen, DatabaseSeen)
        assert (seen.state, seen.log > 0) == (DatabaseState.WHOLE, True)
        assert path.with_name("base.sqlite3-wal").exists(), "the log is its program's"
        # As after a crash whose index was lost: opening it would make one, for whoever looks.
        index = path.with_name("base.sqlite3-shm")
        kept = index.read_bytes()
        index.unlink()
        left = check_database(paths, "base")
        assert isinstance(left, DatabaseSeen)
        assert (left.state, index.exists()) == (DatabaseState.LEFT_ALONE, False)
        index.write_bytes(kept)


def test_a_check_that_takes_too_long_is_broken_off(paths: AppliancePaths) -> None:
    with closing(sqlite3.connect(paths.base / "base.sqlite3")) as database:
        database.execute("CREATE TABLE filler (a)")
        database.executemany("INSERT INTO filler VALUES (?)", [(number,) for number in range(300_000)])
        database.commit()
    seen = check_database(paths, "base", seconds=0.0)
    assert isinstance(seen, DatabaseSeen)
    assert seen.state is DatabaseState.TOO_LARGE


def test_an_install_that_is_not_finished_is_told_while_everything_is_down(paths: AppliancePaths) -> None:
    job = JobRecord("job-1", Kind.BASE, "base/base-1.1.tar.zst", Version("1.1"), Version("1.0"), "ann", utc_now())
    journal = Journal(paths.base / "journal" / JOURNAL_NAME)
    journal.append(job_entry(job))
    journal.close()
    give(paths)
    (one,) = found(paths)["install jobs"]
    assert (one.level, "base 1.1" in one.seen, "job-1" in one.todo) == (Level.WARNING, True, True)


@pytest.mark.root
@pytest.mark.skipif(not AS_ROOT, reason="only root can mount a file system")
def test_a_full_disk_is_named(publisher: Publisher) -> None:
    folder = Path(tempfile.mkdtemp(prefix="std-"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", folder], check=True)
    try:
        paths = appliance_in(folder, publisher)
        assert found(paths)["disk"][0].level is Level.FINE
        (folder / "filler").write_bytes(bytes(120 << 20))
        (one,) = found(paths)["disk"]
        assert (one.level, "too little" in one.seen, str(paths.root) in one.seen) == (Level.ERROR, True, True)
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


@pytest.mark.root
@pytest.mark.skipif(not AS_ROOT, reason="needs to become another user")
def test_a_user_without_rights_is_told_what_could_not_be_seen(paths: AppliancePaths) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(20009)
        os.setuid(20009)
        levels = {check: [one.level.value for one in many] for check, many in found(paths).items()}
        os.write(write, json.dumps(levels).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        levels = json.loads(answer.read())
    os.waitpid(child, 0)
    unseen = {check for check, many in levels.items() if many == ["unseen"]}
    assert {"folders", "files", "keeper", "base", "certificates", "database", "install jobs"} <= unseen | {"database"}
    assert levels["database"] == ["unseen", "unseen"]
    assert levels["release base"] == ["fine"], "what everybody may read is checked"
    assert levels["disk"] == ["fine"]
    assert not any("error" in many for many in levels.values())


def test_the_command_prints_a_line_for_each_check_and_leaves_with_1(paths: AppliancePaths) -> None:
    said = CliRunner().invoke(group, ["--appliance", str(paths.root), "--offline"])
    assert said.exit_code == 1
    assert "✗ keeper" in said.output
    assert "→ systemctl start staffetta-keeper" in said.output
    assert "✓ folders" in said.output
    as_json = CliRunner().invoke(group, ["--appliance", str(paths.root), "--offline", "--json"])
    document = json.loads(as_json.output)
    assert (as_json.exit_code, document["level"]) == (1, "error")
    assert {"check", "level", "seen", "todo"} == set(document["findings"][0])


# What only a running appliance could show, judged from values

STATUS = ApplianceStatus(
    name="one",
    base_version="1.0",
    site_version="2.0",
    time=utc_now(),
    hostname="h",
    sessions_live=3,
    clients_online=1,
    eula_accepted=True,
    generations=(Generation("base", "b", "1.0", "active", True), Generation("site", "s", "2.0", "active", True)),
    keeper_version="1",
)
PAIR = PairMeasures("b.example.test:443", 1.0, 2.0, 0, 0, 0)


def running(status: ApplianceStatus = STATUS, pair: PairMeasures | Unseen | None = None, **more: object) -> Facts:
    now = utc_now()
    base = BaseSeen(status, Updates(now, ()), (), (), pair)
    nothing = Unseen("not looked")
    facts = Facts(
        now,
        "/a",
        True,
        (),
        (),
        (),
        nothing,
        ClockSeen(True, None),
        True,
        (),
        (),
        (),
        nothing,
        JobSeen(None, None),
        base,
    )
    return replace(facts, **more)  # type: ignore[arg-type]


def level_of(facts: Facts, check: str) -> Level:
    return worst(one for one in rules.judge(facts) if one.check == check)


def test_what_runs_well_is_fine() -> None:
    seen = {one.check: one for one in judge(running(pair=PAIR))}
    assert {seen[check].level for check in ("keeper", "base", "site", "pair", "clock")} == {Level.FINE}
    assert seen["keeper"].seen == "It answers, version 1."


@pytest.mark.parametrize(
    ("pair", "check", "level"),
    [
        (replace(PAIR, alarm_codes=("clocks-apart",), alarms=("The clocks disagree.",)), "pair", Level.ERROR),
        (replace(PAIR, sync_age_seconds=500.0), "pair", Level.WARNING),
        (replace(PAIR, sync_age_seconds=None), "pair", Level.WARNING),
        (replace(PAIR, sync_error="refused"), "pair", Level.WARNING),
        (replace(PAIR, job="job-9", job_state="needs-a-person"), "pair job", Level.ERROR),
        (replace(PAIR, job="job-9", job_state="running"), "pair job", Level.WARNING),
        (Unseen("The site does not tell."), "pair", Level.UNSEEN),
    ],
)
@pytest.mark.req("F11")
def test_the_pair_is_judged(pair: PairMeasures | Unseen, check: str, level: Level) -> None:
    assert level_of(running(pair=pair), check) is level


def test_the_site_and_its_generations_are_judged() -> None:
    assert level_of(running(replace(STATUS, sessions_live=None)), "site") is Level.ERROR
    failed = (Generation("site", "s", "2.0", "failed", True, "it ended five times"),)
    gone = replace(STATUS, site_version=None, generations=failed)
    (site,) = [one for one in judge(running(gone)) if one.check == "site"]
    assert (site.level, "it ended five times" in site.seen) == (Level.ERROR, True)
    wrong = replace(STATUS, clock_problem="This appliance's clock is 3 hours behind the update server's time.")
    assert level_of(running(wrong), "clock") is Level.ERROR
    assert level_of(running(clock=ClockSeen(False, None)), "clock") is Level.WARNING


def test_a_job_that_was_undone_is_told_with_its_reason() -> None:
    job = Job("j", "site", "2.1", JobState.UNDONE, "undone", utc_now(), utc_now(), "It did not prove itself.")
    (one,) = [one for one in judge(running(jobs=JobSeen(None, job))) if one.check == "install jobs"]
    assert (one.level, "It did not prove itself." in one.seen) == (Level.WARNING, True)
