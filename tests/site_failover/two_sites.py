"""Two real sites on this machine, each with processes, a database, a certificate and a port of its own."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.front.certificates import make_self_signed

SHARED = "support.example.com"
VERSION = "1.0.0"
CLI = "from staffetta.cli.main import main; main()"
_PREPARE = "import json, sys, django; django.setup(); from staffetta.site.failover import service"


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that will be so; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@dataclass
class Running:
    """A process of a site, and keeper's end of its channel."""

    process: subprocess.Popen[bytes]
    channel: socket.socket

    def hear(self, word: str) -> None:
        said = json.loads(self.channel.recv(65536))
        assert said.get("say") == word, said

    def activate(self, listener: socket.socket | None) -> None:
        if listener is None:
            self.channel.send(json.dumps({"do": "activate", "sockets": []}).encode())
        else:
            host, port = listener.getsockname()
            described = [{"name": "site", "family": "inet", "address": host, "port": port}]
            order = json.dumps({"do": "activate", "sockets": described}).encode()
            socket.send_fds(self.channel, [order], [listener.fileno()])
        self.hear("activated")


@dataclass
class OneSite:
    """One of them, below a folder with a short path."""

    root: Path
    version: str = VERSION
    shared: str = SHARED
    names: tuple[str, ...] = (SHARED,)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=128))
    running: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.paths = AppliancePaths(self.root)
        self.port: int = self.listener.getsockname()[1]
        self.at = f"127.0.0.1:{self.port}"
        for folder in (self.paths.certificates, self.root / "run", self.paths.releases("site"), self.paths.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.paths.site.mkdir(exist_ok=True)
        (self.paths.releases("site") / "current").symlink_to(self.version)
        self.certify(*self.names)
        description = ApplianceDescription(
            self.root.name,
            self.shared,
            "https://127.0.0.1:9443/appliance",
            f"https://{self.shared}",
            (self.at,),
            "http://u",
        )
        self.paths.description.write_bytes(description.to_bytes())
        self.paths.settings.write_text("[gateway]\nestablish_attempts = 100\n")

    def certify(self, *names: str) -> None:
        (self.paths.certificates / "site.pem").write_bytes(make_self_signed(names, ["127.0.0.1"], 10))

    def environment(self, process: str = "web", generation: str = "site-aaaa") -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LANG": "C.UTF-8",
            "DJANGO_SETTINGS_MODULE": "staffetta.site.web.settings",
            "STAFFETTA_GENERATION": generation,
            "STAFFETTA_PROGRAM": "site",
            "STAFFETTA_PROCESS": process,
            "STAFFETTA_VERSION": self.version,
            "STAFFETTA_RELEASE": str(self.paths.releases("site") / self.version),
            "STAFFETTA_APPLIANCE": str(self.root),
            "STAFFETTA_RUN": str(self.paths.run(generation)),
        }

    # Processes

    def migrate(self) -> None:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "staffetta.site", "migrate"], env=self.environment(), capture_output=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, name: str = "gateway", **more: str) -> Running:
        self.paths.run("site-aaaa").mkdir(exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(60)
        environment = self.environment(name) | {"STAFFETTA_KEEPER_FD": str(theirs.fileno())} | more
        with (self.paths.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "staffetta.site", name],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdout=log,
                stderr=log,
            )
        theirs.close()
        started = Running(process, ours)
        self.running[name] = started
        started.hear("ready")
        started.activate(self.listener if name == "gateway" else None)
        return started

    def stop(self, name: str = "gateway", number: int = signal.SIGTERM) -> None:
        gone = self.running.pop(name)
        gone.process.send_signal(number)
        gone.process.wait(20)
        gone.channel.close()

    def close(self) -> None:
        for name in tuple(self.running):
            self.stop(name, signal.SIGKILL)
        self.listener.close()

    # Acting on it

    def do(self, code: str, *arguments: str, check: bool = True) -> Any:
        """Run Python in a process of this site, with ``service`` and ``arguments``; what it gave to ``say``."""
        text = f"{_PREPARE}\narguments = sys.argv[1:]\ndef say(value): print(json.dumps(value))\n{code}"
        done = subprocess.run(
            [sys.executable, "-P", "-c", text, *arguments],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=100,
        )
        if not check:
            return done
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def command(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``staffetta failover …`` on this appliance."""
        environment = {key: value for key, value in self.environment().items() if not key.startswith("STAFFETTA_")}
        return subprocess.run(
            [sys.executable, "-P", "-c", CLI, "failover", words[0], "--appliance", str(self.root), *words[1:]],
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            input=typed,
        )

    def status(self) -> dict[str, Any]:
        """What ``staffetta failover status --json`` says."""
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def set_key(self, key: str) -> None:
        done = self.command("key", "--file", "-", typed=key)
        assert done.returncode == 0, done.stderr

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the database holds, read beside the processes."""
        with contextlib.closing(sqlite3.connect(self.paths.site / "site.sqlite3", timeout=20)) as database:
            return database.execute(query).fetchall()

    def execute(self, statement: str) -> None:
        """Change the database under the processes."""
        with contextlib.closing(sqlite3.connect(self.paths.site / "site.sqlite3", timeout=20)) as database:
            database.execute(statement)
            database.commit()

    def role(self) -> tuple[str, int]:
        """Role and term."""
        role, term = self.rows("select role, role_term from data_siteinstance")[0]
        return role, term

    def alarm(self) -> str:
        """The codes of what is wrong."""
        return str(self.rows("select alarm from failover_relationship")[0][0])

    def heard(self) -> bool:
        """Whether it has heard its peer in this relationship."""
        return bool(self.rows("select count(*) from failover_relationship where seen_at is not null")[0][0])

    def log(self, name: str = "gateway") -> str:
        return (self.paths.logs / f"{name}.log").read_text()


def made_from(template: Path, root: Path, **more: Any) -> OneSite:
    """A site with the migrated data of a template."""
    root.mkdir(parents=True)
    shutil.copytree(template, root / "site")
    return OneSite(root, **more)
