"""Keeper with real processes: switches, failures, restarts, sockets, verbs."""

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from kept_appliance import (
    AS_ROOT,
    BASE_ID,
    SITE_ID,
    KeptAppliance,
    alive,
    read_answer,
    wait_until,
)

from staffetta.lab.ports import free_port

pytestmark = pytest.mark.live


class Clients:
    """Looping clients, half on new connections and half on kept ones; every failure is counted, nothing is retried."""

    def __init__(self, port: int, count: int = 8) -> None:
        self.port = port
        self.failures: list[str] = []
        self.generations: list[str] = []
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=self._new if number % 2 else self._kept, daemon=True) for number in range(count)
        ]

    def _request(self, line: socket.socket) -> bool:
        line.sendall(b"GET / HTTP/1.1\r\nHost: kept\r\n\r\n")
        answer, stays = read_answer(line)
        self.generations.append(answer["generation"])
        return stays

    def _new(self) -> None:
        while not self.stopped.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
                    self._request(line)
            except (OSError, ValueError, AssertionError) as error:
                self.failures.append(f"new: {error!r}")
            time.sleep(0.002)

    def _kept(self) -> None:
        while not self.stopped.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
                    while self._request(line) and not self.stopped.is_set():
                        time.sleep(0.002)
            except (OSError, ValueError, AssertionError) as error:
                self.failures.append(f"kept: {error!r}")

    def __enter__(self) -> "Clients":
        for thread in self.threads:
            thread.start()
        wait_until(lambda: len(self.generations) > 20, what="traffic")
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        for thread in self.threads:
            thread.join(15)


@pytest.mark.req("U9")
def test_switch_under_traffic_fails_no_request(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    old = appliance.active("site")
    with Clients(appliance.port) as clients:
        for version in ("1.1", "1.2", "1.3"):
            appliance.release("site", version)
            new = appliance.start_standby("site", version)
            appliance.result("activate", program="site", generation=new)
            seen = len(clients.generations)
            wait_until(lambda seen=seen, new=new: new in clients.generations[seen:], what="traffic on the new one")
            assert appliance.generation("site", old)["state"] == "reserve"
            appliance.result("confirm", program="site", generation=new)
            appliance.wait_for("site", old, "gone")
            old = new
    assert clients.failures == []
    assert len(set(clients.generations)) == 4


@pytest.mark.req("U9", "U10")
def test_go_back_under_traffic_fails_no_request(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    old = appliance.active("site")
    appliance.release("site", "1.1")
    with Clients(appliance.port) as clients:
        new = appliance.start_standby("site", "1.1")
        appliance.result("activate", program="site", generation=new)
        wait_until(lambda: new in clients.generations, what="traffic on the new one")
        appliance.result("go_back", program="site")
        assert appliance.wait_for("site", new, "failed")["failure"] == "taken back on request"
        wait_until(lambda: appliance.active("site") == old, what="the old one active")
        seen = len(clients.generations)
        wait_until(lambda: old in clients.generations[seen:], what="traffic on the old one")
        wait_until(lambda: not any(p["pid"] for p in appliance.generation("site", new)["processes"]), what="left")
    assert clients.failures == []
    assert appliance.get()["received"].count("activate") == 2


@pytest.mark.req("U10")
@pytest.mark.parametrize(
    ("behaviour", "ready_seconds", "reason"),
    [
        ({"gateway": "crash-at-start"}, 30, "gateway ended with status 7"),
        ({"worker": "crash-at-start"}, 30, "worker ended with status 7"),
        ({"gateway": "hang-at-start"}, 5, "gateway was not ready after 5 s"),
        ({"gateway": "fail-at-start"}, 30, "gateway: the key is missing"),
        ({"gateway": "malformed"}, 30, "gateway was ended by SIGKILL"),
        ({"gateway": "flood"}, 30, "gateway was ended by SIGKILL"),
    ],
)
def test_a_standby_that_is_no_good_never_gets_a_socket(
    appliance: KeptAppliance, behaviour: dict[str, str], ready_seconds: int, reason: str
) -> None:
    appliance.start_and_wait(ready_seconds=ready_seconds)
    old = appliance.active("site")
    before = appliance.get()
    appliance.release("site", "1.1", **behaviour)
    new = appliance.result("start", program="site", version="1.1")["generation"]
    failed = appliance.wait_for("site", new, "failed")
    assert failed["failure"] == reason
    assert appliance.error("activate", program="site", generation=new) == "not-standby"
    after = appliance.get()
    assert (after["generation"], after["pid"]) == (old, before["pid"])
    assert after["received"] == before["received"]  # the old one was never told anything
    wait_until(lambda: not (appliance.root / "run" / new).exists(), what="its run directory removed")


@pytest.mark.req("U10")
@pytest.mark.parametrize("behaviour", ["crash-on-activate", "hang-on-activate"])
def test_one_that_does_not_take_the_sockets_is_taken_back(appliance: KeptAppliance, behaviour: str) -> None:
    appliance.start_and_wait()
    old = appliance.active("site")
    appliance.release("site", "1.1", gateway=behaviour)
    new = appliance.start_standby("site", "1.1")
    with Clients(appliance.port) as clients:
        assert appliance.error("activate", program="site", generation=new) == "failed"
        wait_until(lambda: appliance.active("site") == old, what="the old one active")
        seen = len(clients.generations)
        wait_until(lambda: old in clients.generations[seen:], what="traffic")
    assert clients.failures == []


@pytest.mark.req("U10")
def test_not_confirmed_in_time_goes_back(appliance: KeptAppliance) -> None:
    appliance.start_and_wait(proving_seconds=1)
    old = appliance.active("site")
    appliance.release("site", "1.1")
    new = appliance.start_standby("site", "1.1")
    appliance.result("activate", program="site", generation=new)
    assert appliance.wait_for("site", new, "failed")["failure"] == "not confirmed within 1 s"
    wait_until(lambda: appliance.active("site") == old, what="the old one active")
    wait_until(lambda: appliance.get()["generation"] == old, what="the old one answers")


@pytest.mark.req("U10")
def test_a_new_base_that_is_not_confirmed_goes_back(appliance: KeptAppliance) -> None:
    appliance.start_and_wait(proving_seconds=1)
    old = appliance.active("base")
    appliance.release("base", "1.1")
    new = appliance.start_standby("base", "1.1")
    appliance.result("activate", program="base", generation=new)
    wait_until(
        lambda: (appliance.try_status() or {"programs": {"base": {"active": 0}}})["programs"]["base"]["active"] == old
    )
    assert appliance.wait_for("base", new, "failed")["failure"] == "not confirmed within 1 s"


@pytest.mark.req("U10")
def test_a_new_base_is_activated_by_the_old_and_confirms_itself(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    old = appliance.active("base")
    appliance.release("base", "1.1")
    new = appliance.start_standby("base", "1.1")
    appliance.result("activate", program="base", generation=new)
    appliance.result("confirm", program="base", generation=new)  # answered by the new base
    appliance.wait_for("base", old, "gone")
    assert appliance.active("base") == new


@pytest.mark.req("U10")
def test_an_unconfirmed_generation_that_keeps_dying_goes_back(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    old = appliance.active("site")
    appliance.release("site", "1.1", gateway="crash-when-serving")
    new = appliance.start_standby("site", "1.1")
    appliance.result("activate", program="site", generation=new)
    failed = appliance.wait_for("site", new, "failed", 30)
    assert failed["failure"] == "gateway ended with status 8"
    assert next(one["restarts"] for one in failed["processes"] if one["name"] == "gateway") == 4
    wait_until(lambda: appliance.active("site") == old, what="the old one active")


def test_the_first_ever_generation_has_nothing_to_go_back_to(appliance: KeptAppliance) -> None:
    appliance.release("base", "1.0")
    appliance.make_current("base", "1.0")
    appliance.release("site", "1.0")
    appliance.start(proving_seconds=5)
    wait_until(
        lambda: (appliance.try_status() or {"programs": {"base": {"active": None}}})["programs"]["base"]["active"]
    )
    assert appliance.status()["programs"]["site"] == {"current": None, "active": None, "generations": []}
    new = appliance.start_standby("site", "1.0")
    appliance.result("activate", program="site", generation=new)
    assert appliance.get()["generation"] == new
    assert appliance.wait_for("site", new, "failed")["failure"] == "not confirmed within 5 s"
    assert appliance.status()["programs"]["site"]["active"] is None


@pytest.mark.req("U10")
def test_keeper_killed_the_next_one_takes_over(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    before = appliance.status()
    pids = [
        process["pid"]
        for program in before["programs"].values()
        for generation in program["generations"]
        for process in generation["processes"]
    ]
    appliance.kill_keeper()
    appliance.start()  # at once: the old children may still hold the ports
    wait_until(appliance.active_everywhere, what="everything active again")
    assert appliance.get()["generation"] == appliance.active("site")
    assert not [pid for pid in pids if alive(pid)]
    assert sorted(one.name for one in (appliance.root / "run").iterdir()) == sorted(
        ["control.sock", appliance.active("base"), appliance.active("site")]
    )


@pytest.mark.req("U10")
def test_keeper_killed_ends_even_a_child_that_hangs(appliance: KeptAppliance) -> None:
    appliance.release("site", "1.0", worker="block-when-active")
    appliance.make_current("site", "1.0")
    appliance.start_and_wait()
    pid = appliance.pid("site", appliance.active("site"), "worker")
    appliance.kill_keeper()
    wait_until(lambda: not alive(pid), what="the child gone")


def test_a_second_keeper_is_refused(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    first = appliance.keeper
    appliance.start()
    second, appliance.keeper = appliance.keeper, first
    assert second.wait(10) == 5
    assert appliance.get()


def test_a_busy_port_is_waited_for(appliance: KeptAppliance) -> None:
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", appliance.port))
    holder.listen()
    try:
        appliance.start_and_wait()
        assert [one["name"] for one in appliance.status()["sockets"]] == ["control"]
    finally:
        holder.close()
    wait_until(lambda: len(appliance.status()["sockets"]) == 2, what="the port taken")
    assert appliance.get()["generation"] == appliance.active("site")


@pytest.mark.parametrize("process", ["gateway", "worker"])
def test_a_killed_process_alone_is_started_again_with_its_sockets(appliance: KeptAppliance, process: str) -> None:
    appliance.start_and_wait()
    active = appliance.active("site")
    before = {one["name"]: one["pid"] for one in appliance.generation("site", active)["processes"]}
    os.kill(before[process], signal.SIGKILL)

    def again():
        now = {one["name"]: one for one in appliance.generation("site", active)["processes"]}
        return now if now[process]["ready"] and now[process]["pid"] != before[process] else None

    after = wait_until(again, what="started again")
    assert after[process]["restarts"] == 1
    others = [name for name in before if name != process]
    assert all(after[name]["pid"] == before[name] for name in others)
    assert appliance.get()["pid"] == after["gateway"]["pid"]
    assert appliance.active("site") == active


def test_base_killed_leaves_the_site_alone(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    with Clients(appliance.port) as clients:
        os.kill(appliance.pid("base", appliance.active("base"), "service"), signal.SIGKILL)
        wait_until(appliance.try_status, what="base again")
    assert clients.failures == []


def test_sockets_come_and_go_live(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    port = free_port()
    more = {"name": "more", "program": "site", "process": "gateway", "address": "127.0.0.1", "port": port}
    with Clients(appliance.port) as clients:
        appliance.result("listen", **more, persist=True)
        appliance.result("listen", **more, persist=True)  # again is the same as once
        assert appliance.error("listen", **{**more, "port": free_port()}) == "exists"
        assert appliance.get(port)["generation"] == appliance.active("site")
        appliance.result("unlisten", name="more")
        wait_until(lambda: refused(port), what="the port closed")
        assert appliance.error("unlisten", name="more") == "unknown-socket"
    assert clients.failures == []


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_persisted_sockets_are_there_after_a_restart_others_are_not(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    kept, dropped = free_port(), free_port()
    where = {"program": "site", "process": "gateway", "address": "127.0.0.1"}
    appliance.result("listen", name="kept", port=kept, persist=True, **where)
    appliance.result("listen", name="dropped", port=dropped, **where)
    appliance.result("unlisten", name="site")
    assert (appliance.root / "keeper" / "state.json").stat().st_mode & 0o777 == 0o600
    assert appliance.stop_keeper() == 0
    appliance.start_and_wait()
    assert sorted(one["name"] for one in appliance.status()["sockets"]) == ["control", "kept"]
    assert appliance.get(kept)
    assert refused(dropped)
    assert refused(appliance.port)


def test_a_port_of_somebody_else_is_waited_for_and_then_refused(long_lived: KeptAppliance) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        arguments = {"program": "site", "process": "gateway", "address": "127.0.0.1", "port": holder.getsockname()[1]}
        began = time.monotonic()
        errors: list[str] = []
        asking = [
            threading.Thread(target=lambda: errors.append(long_lived.error("listen", name="busy", **arguments)))
            for _ in range(2)
        ]
        for one in asking:
            one.start()
        assert long_lived.status()["sockets"]  # keeper serves everybody meanwhile
        for one in asking:
            one.join(30)
    assert errors == ["exists", "failed"], "the second is told at once, whichever came second"
    assert time.monotonic() - began > 9


def test_ipv6_unix_and_foreign_addresses(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    listen = {"program": "site", "process": "gateway"}
    port = free_port()
    appliance.result("listen", name="six", address="::1", port=port, **listen)
    assert appliance.get(port, "::1")
    path = appliance.root / "run" / "extra.sock"
    appliance.result("listen", name="extra", address=str(path), options={"mode": 0o600}, **listen)
    assert path.stat().st_mode & 0o777 == 0o600
    appliance.result("unlisten", name="extra")
    assert not path.exists()
    appliance.result("listen", name="free", address="192.0.2.1", port=port, options={"freebind": True}, **listen)
    (appliance.root / "run" / "file.sock").write_text("not a socket")
    path = str(appliance.root / "run" / "file.sock")
    assert appliance.error("listen", name="file", address=path, **listen) == "invalid"


def test_verbs_are_for_the_proven_base_service_only(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    place = appliance.root / "run" / appliance.active("site") / "forbidden.json"
    codes = json.loads(wait_until(lambda: place.exists() and place.read_text(), what="the worker's report"))
    assert codes == {"status": "forbidden", "erase": "forbidden", "start": "forbidden"}


@pytest.mark.parametrize(
    ("verb", "arguments", "code"),
    [
        ("no-such", {}, "unknown-verb"),
        ("status", {"more": 1}, "invalid"),
        ("start", {"program": "site"}, "invalid"),
        ("start", {"program": "site", "version": 1}, "invalid"),
        ("start", {"program": "site", "version": "../../etc"}, "invalid"),
        ("start", {"program": "site", "version": "1.0\n"}, "invalid"),
        ("start", {"program": "site", "version": "9" * 65}, "invalid"),
        ("start", {"program": "site", "version": ".."}, "unknown-version"),
        ("start", {"program": "site", "version": "current"}, "unknown-version"),
        ("start", {"program": "site", "version": "sly"}, "unknown-version"),
        ("start", {"program": "site", "version": "2.0"}, "unknown-version"),
        ("start", {"program": "vendor", "version": "1.0"}, "unknown-program"),
        ("activate", {"program": "site", "generation": f"site-{'a' * 26}"}, "unknown-generation"),
        ("activate", {"program": "site", "generation": "x"}, "invalid"),
        ("go_back", {"program": "site"}, "nothing-to-go-back"),
        ("task", {"program": "site", "version": "1.0", "task": "gateway"}, "unknown-task"),
        ("task", {"program": "site", "version": "../base/1.0", "task": "migrate"}, "invalid"),
        ("listen", {"name": "x", "program": "site", "process": "gateway", "address": "/etc/x.sock"}, "invalid"),
        ("listen", {"name": "x", "program": "site", "process": "web", "address": "::", "port": 80}, "invalid"),
        ("steer", {"name": "site", "share": 101}, "invalid"),
        ("steer", {"name": "site", "share": 50}, "invalid"),
        ("claim_address", {"interface": "lo; rm", "address": "10.0.0.1/8"}, "invalid"),
        ("claim_address", {"interface": "-lo", "address": "10.0.0.1/8"}, "invalid"),
        ("claim_address", {"interface": "lo", "address": "10.0.0.1"}, "invalid"),
        ("claim_address", {"interface": "lo", "address": "10.0.0.1/8 dev eth0"}, "invalid"),
        ("release_address", {"interface": "lo", "address": "10.0.0.1/8"}, "invalid"),
        ("set_clock", {"seconds": True}, "invalid"),
        ("set_clock", {"seconds": 0}, "invalid"),
        ("set_clock", {"seconds": float("nan")}, "invalid"),
        ("set_clock", {"seconds": 1_800_000_000}, "not-owner"),
        ("erase", {"confirmation": "another"}, "not-confirmed"),
    ],
)
def test_bad_arguments_change_nothing(
    long_lived: KeptAppliance, verb: str, arguments: dict[str, object], code: str
) -> None:
    before = long_lived.status()
    assert long_lived.error(verb, **arguments) == code
    assert long_lived.status() == before


@pytest.fixture(scope="module")
def long_lived():
    appliance = KeptAppliance()
    try:
        appliance.start_and_wait()
        (appliance.root / "releases" / "site" / "sly").symlink_to("1.0")
        yield appliance
    finally:
        appliance.close()


def test_tasks_run_once_with_their_output(long_lived: KeptAppliance) -> None:
    appliance = long_lived
    result = appliance.result("task", program="site", version="1.0", task="migrate")
    assert result["exit"] == 0
    assert json.loads(result["output"].splitlines()[-1])["migrated"] == "1.0"
    loud = appliance.result("task", program="site", version="1.0", task="chatter")
    assert loud["exit"] == 3
    assert loud["output"].endswith("\nend\n")
    assert len(loud["output"]) <= 8192
    assert {one.name for one in (appliance.root / "run").iterdir()} == {
        "control.sock",
        appliance.active("base"),
        appliance.active("site"),
    }


def test_stop_ends_a_standby_and_refuses_what_serves(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    appliance.release("site", "1.1", worker="ignore-sigterm")
    assert appliance.error("stop", program="site", generation=appliance.active("site")) == "in-use"
    new = appliance.start_standby("site", "1.1")
    appliance.result("stop", program="site", generation=new)
    appliance.wait_for("site", new, "gone", 15)  # its worker had to be killed


def test_a_deaf_old_generation_does_not_stop_the_switch(appliance: KeptAppliance) -> None:
    appliance.release("site", "1.0", gateway="deaf")
    appliance.make_current("site", "1.0")
    appliance.start_and_wait()
    appliance.release("site", "1.1")
    new = appliance.start_standby("site", "1.1")
    began = time.monotonic()
    appliance.result("activate", program="site", generation=new)
    assert time.monotonic() - began > 1.5
    assert appliance.get()["generation"] == new


def test_sigterm_stops_every_child(appliance: KeptAppliance) -> None:
    appliance.release("site", "1.0", worker="ignore-sigterm")
    appliance.make_current("site", "1.0")
    appliance.start_and_wait()
    pid = appliance.pid("site", appliance.active("site"), "worker")
    assert appliance.stop_keeper() == 0
    assert not alive(pid)
    assert refused(appliance.port)
    assert not appliance.verbs.exists()


@pytest.mark.req("H4")
def test_erase_overwrites_and_starts_as_delivered(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    secret = appliance.root / "site" / "blobs" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(b"very secret" * 1000)
    elsewhere = appliance.root / "elsewhere"
    elsewhere.write_text("not ours")
    (appliance.root / "site" / "link").symlink_to(elsewhere)
    (appliance.root / "base" / "base.sqlite3").write_text("accounts")
    owner = (appliance.root / "site").stat()
    old = appliance.active("base")
    with secret.open("rb") as still_open:
        appliance.result("erase", confirmation="kept")
        wait_until(lambda: not secret.exists(), what="erased")
        assert b"very secret" not in still_open.read()

    def delivered():
        status = appliance.try_status()
        return status if status and status["programs"]["base"]["active"] not in (None, old) else None

    status = wait_until(delivered, what="base started as if new")
    assert status["programs"]["site"] == {"current": None, "active": None, "generations": []}
    assert not any((appliance.root / "base").iterdir())
    assert not any((appliance.root / "site").iterdir())
    assert elsewhere.read_text() == "not ours"
    now = (appliance.root / "site").stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (owner.st_mode, owner.st_uid, owner.st_gid)
    assert not (appliance.root / "keeper" / "erasing").exists()


@pytest.mark.req("H4")
def test_erase_that_was_cut_off_is_finished_by_the_next_start(appliance: KeptAppliance) -> None:
    appliance.release("base", "1.0")
    appliance.make_current("base", "1.0")
    (appliance.root / "site" / "left").write_text("data")
    (appliance.root / "keeper" / "erasing").write_text("")
    appliance.start()
    wait_until(appliance.try_status, what="base")
    assert not (appliance.root / "site" / "left").exists()


def test_shutdown_stops_all_and_leaves_a_machine_it_does_not_own(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    appliance.result("shutdown")
    assert appliance.keeper.wait(20) == 0


@pytest.mark.root
@pytest.mark.skipif(not AS_ROOT, reason="needs root: real user ids")
def test_rights_of_children(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    site = appliance.get()
    assert site["uids"] == [SITE_ID] * 3
    assert site["gids"] == [SITE_ID] * 3
    assert site["groups"] == []
    assert site["no_new_privs"]
    assert int(site["capabilities"], 16) == 0
    run = appliance.root / "run" / appliance.active("site")
    assert (run.stat().st_uid, run.stat().st_gid, run.stat().st_mode & 0o7777) == (SITE_ID, SITE_ID, 0o770)
    task = appliance.result("task", program="site", version="1.0", task="migrate")
    assert json.loads(task["output"].splitlines()[-1])["uids"] == [SITE_ID] * 3
    base = appliance.pid("base", appliance.active("base"), "web")
    status = dict(line.split(":", 1) for line in Path(f"/proc/{base}/status").read_text().splitlines() if ":" in line)
    assert status["Uid"].split() == [str(BASE_ID)] * 4
    assert status["Groups"].split() == [str(SITE_ID)]
    log = (appliance.root / "logs" / "site-gateway.log").stat()
    assert (log.st_uid, log.st_gid, log.st_mode & 0o777) == (0, SITE_ID, 0o640)


def test_children_get_their_sockets_and_nothing_else(appliance: KeptAppliance) -> None:
    appliance.start_and_wait()
    site = appliance.get()
    environment = site["environment"]
    assert environment["STAFFETTA_PASSED"] == "on"
    assert "SECRET" not in environment
    assert environment["HOME"] == str(appliance.root / "site")
    assert environment["STAFFETTA_RUN"] == str(appliance.root / "run" / site["generation"])
    opened = {}
    for number in site["descriptors"]:
        try:
            opened[number] = str(Path(f"/proc/{site['pid']}/fd/{number}").readlink())
        except OSError:
            continue  # the directory it was listing
    # standard streams, keeper's socket, the listening socket, and asyncio's own: no log of another, no lock.
    files = [target for number, target in opened.items() if number > 2 and target.startswith("/")]
    assert files == []
