"""An appliance made for tests: a short path, tiny real releases, a real keeper process."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import staffetta
from staffetta.lab.ports import free_port

HERE = Path(__file__).parent
SOURCE = Path(staffetta.__file__).parents[1]
AS_ROOT = os.geteuid() == 0
BASE_ID, SITE_ID = (61001, 61002) if AS_ROOT else (None, None)


def python_for_everybody() -> str:
    """An interpreter that other users can run too (root's own is often below /root)."""
    for candidate in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        real = Path(candidate).resolve()
        if real.exists() and all(parent.stat().st_mode & 0o001 for parent in (real, *real.parents)):
            return str(real)
    raise RuntimeError("no Python that other users can run")


def wait_until(condition, seconds=20.0, what="it"):
    """Poll with a deadline; returns the first true value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {seconds} s (last: {value!r})")
        time.sleep(0.02)


class KeptAppliance:
    """Builds the folders, writes releases, runs keeper, asks it through base's service."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="stf-"))
        self.root.chmod(0o755)
        for name, owner, mode in (
            ("keeper", 0, 0o700),
            ("releases/base", BASE_ID, 0o755),
            ("releases/site", BASE_ID, 0o755),
            ("base", BASE_ID, 0o700),
            ("site", SITE_ID, 0o700),
            ("certificates", BASE_ID, 0o750),
        ):
            (self.root / name).mkdir(parents=True)
            (self.root / name).chmod(mode)
            if AS_ROOT:
                os.chown(self.root / name, owner, owner)
        self.port = free_port()
        self.verbs = self.root / "run" / "control.sock"
        self.log = self.root / "keeper.log"
        self.keeper = None
        self.config = {
            "appliance": "kept",
            "programs": {
                "base": {
                    "uid": BASE_ID,
                    "gid": BASE_ID,
                    "groups": [SITE_ID] if AS_ROOT else [],
                    "processes": ["service", "web"],
                    "tasks": ["migrate", "snapshot"],
                },
                "site": {
                    "uid": SITE_ID,
                    "gid": SITE_ID,
                    "groups": [],
                    "processes": ["gateway", "worker"],
                    "tasks": ["migrate", "snapshot", "chatter", "sleep"],
                },
            },
            "verb_holder": ["base", "service"],
            "proving_seconds": 60,
            "sockets": [
                {"name": "control", "program": "base", "process": "service", "path": str(self.verbs), "mode": 0o660},
                {
                    "name": "site",
                    "program": "site",
                    "process": "gateway",
                    "address": "127.0.0.1",
                    "port": self.port,
                },
            ],
        }

    def release(self, program: str, version: str, **behaviour: object) -> Path:
        """Write a release whose processes behave as told."""
        place = self.root / "releases" / program / version
        (place / "bin").mkdir(parents=True)
        run = place / "bin" / "run"
        run.write_text(
            f'#!/bin/sh\nPYTHONPATH={SOURCE} exec {python_for_everybody()} -P {HERE / "kept_program.py"} "$@"\n'
        )
        run.chmod(0o755)
        (place / "behaviour.json").write_text(json.dumps(behaviour))
        return place

    def make_current(self, program: str, version: str) -> None:
        link = self.root / "releases" / program / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(version)

    def start(self, **config: object) -> "KeptAppliance":
        """Write the configuration and start keeper."""
        self.config |= config
        (self.root / "keeper" / "config.json").write_text(json.dumps(self.config))
        with self.log.open("ab") as log:
            self.keeper = subprocess.Popen(
                [sys.executable, "-m", "staffetta.keeper", "--appliance", str(self.root)],
                stderr=log,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "STAFFETTA_PASSED": "on", "SECRET": "no"},
            )
        return self

    def start_and_wait(self, **config: object) -> "KeptAppliance":
        """Start keeper with base and site 1.0 and wait until both are active."""
        for program in ("base", "site"):
            if not (self.root / "releases" / program / "1.0").exists():
                self.release(program, "1.0")
                self.make_current(program, "1.0")
        self.start(**config)
        wait_until(lambda: self.active_everywhere(), what="base and site active")
        return self

    def active_everywhere(self) -> bool:
        """Base and site each have an active generation whose processes are all ready."""
        status = self.try_status()
        if not status:
            return False
        found = [self.generation(name, status["programs"][name]["active"], status) for name in ("base", "site")]
        return all(one and all(process["ready"] for process in one["processes"]) for one in found)

    def ask(self, verb: str, **args: object) -> dict:
        """Ask a verb through the active base's service; its answer as base's child channel gave it."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.verbs))
            line.sendall(json.dumps({"verb": verb, "args": args}).encode() + b"\n")
            with line.makefile() as answers:
                answer = answers.readline()
                if not answer:
                    raise ConnectionResetError("base's service ended the connection")
                return json.loads(answer)

    def result(self, verb: str, **args: object) -> dict:
        answer = self.ask(verb, **args)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, verb: str, **args: object) -> str:
        answer = self.ask(verb, **args)
        assert "error" in answer, answer
        return answer["error"]

    def try_status(self) -> dict | None:
        try:
            return self.ask("status").get("result")
        except (OSError, ValueError):
            return None

    def status(self) -> dict:
        return self.result("status")

    def generation(self, program: str, generation: str | None, status: dict | None = None) -> dict | None:
        status = status or self.status()
        return next((one for one in status["programs"][program]["generations"] if one["id"] == generation), None)

    def wait_for(self, program: str, generation: str, state: str, seconds: float = 20.0) -> dict:
        """Wait until a generation is in a state, and return what status says of it."""

        def reached():
            status = self.try_status()
            found = status and self.generation(program, generation, status)
            return found if found and found["state"] == state else None

        return wait_until(reached, seconds, f"{generation} {state}")

    def active(self, program: str) -> str:
        return self.status()["programs"][program]["active"]

    def pid(self, program: str, generation: str, process: str) -> int:
        found = self.generation(program, generation)
        assert found
        return next(one["pid"] for one in found["processes"] if one["name"] == process)

    def start_standby(self, program: str, version: str) -> str:
        generation = self.result("start", program=program, version=version)["generation"]
        self.wait_for(program, generation, "standby")
        return generation

    def get(self, port: int | None = None, address: str = "127.0.0.1") -> dict:
        """One HTTP request on a connection of its own."""
        with socket.create_connection((address, port or self.port), timeout=10) as line:
            line.sendall(b"GET / HTTP/1.1\r\nHost: kept\r\n\r\n")
            return read_answer(line)[0]

    def kill_keeper(self) -> None:
        self.keeper.kill()
        self.keeper.wait(10)

    def stop_keeper(self) -> int:
        self.keeper.send_signal(signal.SIGTERM)
        return self.keeper.wait(20)

    def close(self) -> None:
        if self.keeper and self.keeper.poll() is None:
            self.keeper.send_signal(signal.SIGTERM)
            try:
                self.keeper.wait(15)
            except subprocess.TimeoutExpired:
                self.keeper.kill()
                self.keeper.wait(5)
        with contextlib.suppress(OSError):
            shutil.rmtree(self.root)


def read_answer(line: socket.socket) -> tuple[dict, bool]:
    """One HTTP answer: its JSON body, and whether the connection stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += receive(line)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(next(one.split(b":")[1] for one in head.split(b"\r\n") if one.lower().startswith(b"content-length")))
    while len(body) < length:
        body += receive(line)
    assert head.startswith(b"HTTP/1.1 200")
    return json.loads(body), b"keep-alive" in head


def receive(line: socket.socket) -> bytes:
    data = line.recv(65536)
    if not data:
        raise ConnectionResetError("closed before the answer")
    return data


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
