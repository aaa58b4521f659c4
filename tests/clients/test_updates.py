"""A Jump Client follows its site to the newer version, or stays, or goes back; killed anywhere, it is one or the other.

The clients are real processes that run from signed packages, the site is the simulated one.
"""

import contextlib
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from clients.conftest import PROMPT, World
from clients.simulated_gateway import Gateway, Site, wait_for
from clients.updated_computer import CRASHES, DOES_NOT_START, UNREACHABLE, KillingGate, Updated, Vendor
from staffetta.wire.enrolment import UpdateAction, UpdateAnswer, UpdateQuestion

pytestmark = [pytest.mark.live, pytest.mark.timeout(300), pytest.mark.req("C4")]

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
OLD, NEW, NEWEST = "1.0.0", "1.1.0", "1.2.0"


@pytest.fixture
def vendor(tmp_path: Path, site: Site, gateway: Gateway) -> Vendor:
    made = Vendor(tmp_path / "vendor", site)
    made.hands_out(OLD)
    return made


@pytest.fixture
def computer(site: Site, vendor: Vendor, tmp_path: Path) -> Iterator[Updated]:
    made = Updated(site, vendor, tmp_path, prove_seconds=60.0)
    yield made
    made.stop()


@pytest.fixture
def gate_path() -> Iterator[Path]:
    """A short path: Unix sockets allow no long ones."""
    folder = Path(tempfile.mkdtemp(prefix="gate-", dir="/tmp"))
    yield folder / "gate"
    shutil.rmtree(folder)


def at_a_prompt(world: World, gateway: Gateway, computer: Updated) -> pexpect.spawn:
    """Start the computer at the old version; return a console in a shell on it."""
    shell = world.folder / "shell.sh"
    shell.write_text(f"#!/bin/sh\nPS1='{PROMPT}' exec /bin/sh -i\n")
    shell.chmod(0o755)
    computer.environment["SHELL"] = str(shell)
    computer.start()
    computer.wait_told("the old version online", lambda version, _: version == OLD)
    console = world.connect(world.sign_in(gateway))
    console.expect_exact(PROMPT)
    return console


@pytest.mark.req("C5", "C6")
def test_it_follows_in_the_same_process_and_says_when(site: Site, vendor: Vendor, computer: Updated) -> None:
    process = computer.start()
    computer.wait_told("the old version online", lambda version, _: version == OLD)
    assert "updated_at" not in computer.told()[1]
    vendor.hands_out(NEW)
    status = computer.wait_told("the new version", lambda version, told: version == NEW and "updated_at" in told)
    assert status["updated_at"] > "2026"
    assert process.poll() is None
    assert computer.current == NEW
    assert computer.steps == [(step, NEW) for step in ("fetch", "staged", "flip", "started", "proven")]
    assert not any((computer.state / "updates").iterdir())
    # Far behind is no other case: any number of versions is one step.
    vendor.hands_out(NEWEST)
    computer.wait_told("the newest version", lambda version, told: version == NEWEST and "updated_at" in told)
    on_disk = {path.name for path in (computer.state / "releases").iterdir() if not path.is_symlink()}
    assert on_disk == {NEW, NEWEST}, "the version before is kept, older ones are not"


def test_it_stays_while_it_is_told_to(site: Site, vendor: Vendor, computer: Updated) -> None:
    vendor.held = True
    vendor.hands_out(NEW)
    computer.start()
    wait_for("the question asked again and again", lambda: len(site.updates_asked) >= 4, 20)
    assert computer.steps == []
    vendor.held = False
    computer.wait_told("the new version", lambda version, _: version == NEW)


def test_a_question_without_an_answer_is_asked_again_soon(gateway: Gateway, vendor: Vendor, computer: Updated) -> None:
    gateway.updates_refused = 1
    vendor.hands_out(NEW)
    computer.start()
    computer.wait_told("the new version", lambda version, _: version == NEW, seconds=40)


@pytest.mark.req("S1")
def test_sessions_go_on_and_the_restart_waits_for_their_end(
    site: Site, gateway: Gateway, world: World, vendor: Vendor, computer: Updated
) -> None:
    vendor.held = True
    console = at_a_prompt(world, gateway, computer)
    vendor.hands_out(NEW)
    vendor.held = False
    computer.wait_told("that it waits", lambda _, told: told.get("update_waiting") == NEW)
    asked = len(site.updates_asked)
    console.sendline("echo still''here")
    console.expect_exact("stillhere")
    assert computer.current == OLD
    console.sendline("exit")
    computer.wait_told("the new version proven", lambda version, told: version == NEW and "updated_at" in told)
    assert len(site.updates_asked) > asked, "it asks again before it restarts, to be counted"
    assert [step for step, _ in computer.steps] == ["fetch", "staged", "flip", "started", "proven"]


@pytest.mark.req("U10")
@pytest.mark.parametrize(
    ("line", "why"), [(UNREACHABLE, "did not reach the site in 8 s"), (CRASHES, "failed before it had reached")]
)
def test_a_version_that_does_not_reach_the_site_is_left_again(
    site: Site, vendor: Vendor, computer: Updated, line: str, why: str
) -> None:
    if line == UNREACHABLE:
        computer.set(prove_seconds=8.0)
    process = computer.start()
    vendor.hands_out(NEW, line)
    status = computer.wait_told("the failure", lambda version, told: version == OLD and "update_failed" in told)
    assert status["update_failed"] == NEW
    assert why in status["update_failed_why"]
    assert process.poll() is None
    assert computer.current == OLD
    asked = len(site.updates_asked)
    wait_for("the question with the failure", lambda: len(site.updates_asked) >= asked + 2, 20)
    assert site.updates_asked[-1].failed == NEW
    assert computer.steps.count(("flip", NEW)) == 1, "it is not tried again for a day"
    computer.set(prove_seconds=60.0)
    vendor.hands_out(NEWEST)
    computer.wait_told("another version", lambda version, _: version == NEWEST)


def test_a_failed_version_is_not_tried_although_an_older_site_names_it(
    site: Site, vendor: Vendor, computer: Updated
) -> None:
    answer = vendor.answer
    site.answer_update = lambda question: answer(type(question)(question.client, "x", question.version, "x"))
    computer.start()
    vendor.hands_out(NEW, DOES_NOT_START)
    status = computer.wait_told("the failure", lambda _, told: "update_failed" in told)
    assert "does not start" in status["update_failed_why"]
    computer.stop()
    computer.start()
    asked = len(site.updates_asked)
    wait_for("the question asked again", lambda: len(site.updates_asked) >= asked + 2, 20)
    assert computer.steps == [("fetch", NEW), ("failed", NEW)]


@pytest.mark.req("U14")
@pytest.mark.parametrize("harm", ["package", "metadata", "other vendor"])
def test_what_the_vendor_did_not_sign_is_refused_and_reported(
    site: Site, vendor: Vendor, computer: Updated, tmp_path: Path, harm: str
) -> None:
    """The site itself is the attacker: its answer and its bundle agree."""
    vendor.held = True
    served = vendor.hands_out(NEW)
    content = bytearray(served.read_bytes())
    match harm:
        case "package":
            content[content.index(ZSTD_MAGIC) + 100] ^= 1
        case "metadata":
            content[content.index(b"installed_size") + 3] ^= 1
        case "other vendor":
            Vendor(tmp_path / "other", site).hands_out(NEW)
            content = bytearray(served.read_bytes())
            site.answer_update = vendor.answer
    served.write_bytes(content)
    vendor.held = False
    computer.start()
    status = computer.wait_told("the refusal", lambda version, told: "update_failed" in told)
    assert status["update_failed"] == NEW
    assert computer.current == OLD
    assert not (computer.state / "releases" / NEW).exists()
    assert computer.steps == [("fetch", NEW), ("failed", NEW)]


@pytest.mark.req("U14")
def test_an_older_client_and_an_older_bundle_are_refused(site: Site, vendor: Vendor, computer: Updated) -> None:
    old_bundle = (site.folder / "clients.bundle").read_bytes()
    computer.start()
    vendor.hands_out(NEW)
    computer.wait_told("the new version", lambda version, _: version == NEW)
    # A site that was taken over names a newer version, but hands out the signed bundle of an older one.
    (site.folder / "clients.bundle").write_bytes(old_bundle)
    vendor.version = NEWEST
    status = computer.wait_told("the refusal", lambda _, told: told.get("update_failed") == NEWEST)
    assert "version" in status["update_failed_why"]
    # Or it names the older one.
    answer = vendor.answer
    site.answer_update = lambda question: answer(type(question)(question.client, "x", "0.1", "x"))
    vendor.version = OLD
    asked = len(site.updates_asked)
    wait_for("the question asked again", lambda: len(site.updates_asked) >= asked + 2, 20)
    assert computer.current == NEW
    assert [step for step in computer.steps if step[1] == OLD] == []


def test_a_download_that_breaks_off_goes_on_where_it_was(site: Site, vendor: Vendor, computer: Updated) -> None:
    computer.start()
    site.break_download_after = [100_000, 50_000]
    vendor.hands_out(NEW)
    computer.wait_told("the new version", lambda version, _: version == NEW)
    begins = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in site.ranges_asked if asked]
    assert begins[0] == 0
    assert begins == sorted(set(begins)) and len(begins) == 3, begins
    assert begins[1] > 0


@pytest.mark.req("U10")
def test_killed_at_every_step_it_still_arrives(site: Site, vendor: Vendor, computer: Updated, gate_path: Path) -> None:
    steps = ("fetch", "staged", "flip", "started", "proven")
    gate = KillingGate(gate_path, frozenset(steps))
    computer.environment["STAFFETTA_JOURNAL_GATE"] = str(gate_path)
    vendor.hands_out(NEW)
    with contextlib.closing(gate):
        computer.keep_running(lambda: len(gate.killed) == 10)
        assert set(gate.killed) == {(step, when) for step in steps for when in ("before", "after")}
        computer.keep_running(lambda: any(version == NEW for _, version, _ in site.statuses))
    assert computer.current == NEW
    assert computer.steps[-1] == ("proven", NEW)
    assert ("back", NEW) not in computer.steps


@pytest.mark.req("U10")
def test_killed_at_every_step_a_bad_version_is_still_left(
    site: Site, vendor: Vendor, computer: Updated, gate_path: Path
) -> None:
    gate = KillingGate(gate_path, frozenset({"flip", "started", "back"}))
    computer.environment["STAFFETTA_JOURNAL_GATE"] = str(gate_path)
    computer.set(prove_seconds=8.0)
    vendor.hands_out(NEW, UNREACHABLE)

    def left() -> bool:
        return any(version == OLD and "update_failed" in told for _, version, told in site.statuses)

    with contextlib.closing(gate):
        computer.keep_running(left, 90)
        assert len(gate.killed) == 6
    assert computer.current == OLD
    assert computer.steps[-1] == ("back", NEW)


@pytest.mark.req("U10")
def test_a_version_that_dies_at_each_start_is_left_at_the_next(site: Site, vendor: Vendor, computer: Updated) -> None:
    """It dies so early and hard that it cannot go back by itself: whoever starts it again does."""
    computer.start()
    computer.wait_told("the old version online", lambda version, _: version == OLD)
    dies = "import sys, os; import staffetta.clients.running as r; r._serve = lambda *_: os._exit(9)"
    vendor.hands_out(NEW, dies)
    starts = computer.keep_running(
        lambda: any(version == OLD and told.get("update_failed") == NEW for _, version, told in site.statuses)
    )
    assert starts == 3
    assert computer.current == OLD


def test_killed_at_any_moment_of_the_download_it_still_arrives(site: Site, vendor: Vendor, computer: Updated) -> None:
    computer.start()
    computer.wait_told("the old version online", lambda version, _: version == OLD)
    vendor.hands_out(NEW)
    for pause in (0.2, 0.5, 0.9, 1.3):
        time.sleep(pause)
        assert computer.process is not None
        computer.process.kill()
        computer.process.wait(10)
        computer.start()
    computer.keep_running(lambda: any(version == NEW for _, version, _ in site.statuses))
    assert computer.current == NEW


def test_one_process_at_a_time_is_a_client(computer: Updated) -> None:
    first = computer.start()
    computer.wait_told("the version online", lambda version, _: version == OLD)
    second = computer.start()
    assert second.wait(20) == 5
    assert first.poll() is None
    computer.process = first


@pytest.mark.req("S1")
def test_a_full_disk_ends_neither_the_client_nor_its_sessions(
    site: Site, gateway: Gateway, world: World, vendor: Vendor, computer: Updated
) -> None:
    """The technician comes because of that disk: what cannot be written down is written later."""
    vendor.held = True
    console = at_a_prompt(world, gateway, computer)
    process = computer.process
    assert process is not None
    _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, most))  # every write to a file fails from here on
    asked = len(site.updates_asked)
    wait_for("the question asked again", lambda: len(site.updates_asked) >= asked + 2, 20)
    site.run(gateway.drop(everything=True))  # who comes back is given a newer statement
    console.sendline("echo still''here")
    console.expect_exact("stillhere")
    vendor.hands_out(NEW)
    vendor.held = False
    log = computer.log.stat().st_size
    told: list[str] = []

    def answer(question: UpdateQuestion) -> UpdateAnswer:
        said = vendor.answer(question)
        told.append(said.action)
        return said

    site.answer_update = answer
    wait_for("the answer to update", lambda: UpdateAction.UPDATE in told, 20)
    assert computer.log.stat().st_size == log, "the disk is full for the client"
    console.sendline("echo and''here")
    console.expect_exact("andhere")
    site.run(gateway.drop(everything=True))
    console.sendline("echo here''too")
    console.expect_exact("heretoo")
    assert process.poll() is None
    assert computer.steps == []
    computer.stop()
    computer.start()
    computer.wait_told("the new version", lambda version, _: version == NEW)


@pytest.fixture
def sleeper(site: Site, vendor: Vendor, tmp_path: Path) -> Iterator[Updated]:
    """A computer with a passive client that checks in every few seconds and cannot be woken."""
    made = Updated(
        site, vendor, tmp_path, passive=True,
        prove_seconds=60.0, check_in_hours=4 / 3600, linger_seconds=0.3, wake_port=0,
    )  # fmt: skip
    yield made
    made.stop()


def test_a_passive_client_follows_at_a_check_in_and_keeps_no_connection(
    site: Site, gateway: Gateway, vendor: Vendor, sleeper: Updated
) -> None:
    answer = vendor.answer
    site.answer_update = lambda question: replace(answer(question), retry_seconds=3600)
    process = sleeper.start()
    status = sleeper.wait_told("the old version", lambda version, _: version == OLD)
    assert (status["mode"], status["check_in_seconds"]) == ("passive", "4") and "wake_port" not in status
    wait_for("that it has gone", lambda: not site.run(gateway.online()))
    asked = len(site.updates_asked)
    assert asked == 1, "asked at its check-in"
    vendor.hands_out(NEW)
    assert sleeper.current == OLD
    sleeper.wait_told("the new version", lambda version, told: version == NEW and "updated_at" in told)
    wait_for("that it has gone again", lambda: not site.run(gateway.online()))
    assert process.poll() is None and sleeper.current == NEW
    assert sleeper.steps == [(step, NEW) for step in ("fetch", "staged", "flip", "started", "proven")]


def test_a_passive_client_that_waits_for_its_turn_asks_without_a_connection(
    site: Site, gateway: Gateway, vendor: Vendor, tmp_path: Path
) -> None:
    sleeper = Updated(site, vendor, tmp_path, passive=True, check_in_hours=10, linger_seconds=0.3, wake_port=0)
    try:
        vendor.held = True
        vendor.hands_out(NEW)
        sleeper.start()
        sleeper.wait_told("the old version", lambda version, _: version == OLD)
        wait_for("that it has gone", lambda: not site.run(gateway.online()))
        asked = len(site.updates_asked)
        wait_for("the question asked again", lambda: len(site.updates_asked) >= asked + 2, 20)
        assert not site.run(gateway.online())
        vendor.held = False
        sleeper.wait_told("the new version", lambda version, told: version == NEW and "updated_at" in told)
    finally:
        sleeper.stop()


@pytest.mark.req("U10")
def test_a_passive_client_tells_at_once_of_a_version_that_failed(site: Site, vendor: Vendor, sleeper: Updated) -> None:
    sleeper.set(prove_seconds=8.0)
    vendor.hands_out(NEW, UNREACHABLE)
    process = sleeper.start()
    sleeper.wait_told("the failure", lambda version, told: version == OLD and told.get("update_failed") == NEW)
    assert process.poll() is None and sleeper.current == OLD
