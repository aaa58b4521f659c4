"""A site as keeper starts it, its generations behind one socket, and a real Jump Client: what a console works with."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

from gateway.keeper_stand_in import Started, environment, run_task
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.front.certificates import make_self_signed

VERSION = "1.0.0"
PASSWORD = "correct horse battery"
COMMAND = (sys.executable, "-c", "from staffetta.cli.main import main; main()")
COMPUTER = "front desk"
PROMPT = "test> "
Result = TypeVar("Result")


def wait_until(what: str, is_so: Callable[[], object], seconds: float = 60.0) -> None:
    """Poll until it is so; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


class ConsoleSite:
    """One appliance's site with people in it: `admin`, who may do everything, and `rita`, who starts sessions."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))  # short: it holds Unix sockets
        self.paths = AppliancePaths(self.root / "a")
        self.home = self.root / "home"
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self.listener.getsockname()[1]
        self.url = f"https://localhost:{self.port}"
        self.generations: list[dict[str, Started]] = []
        self._names = iter("abcdefghijkl")
        self.version = VERSION
        self.client: subprocess.Popen[bytes] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> Self:
        paths = self.paths
        for folder in (
            paths.certificates,
            paths.site,
            paths.root / "run",
            paths.releases("site") / VERSION,
            paths.logs,
        ):
            folder.mkdir(parents=True)
        self.home.mkdir()
        (paths.certificates / "site.pem").write_bytes(make_self_signed(["localhost"], ["127.0.0.1"], 10))
        own = f"127.0.0.1:{self.port}"
        described = ApplianceDescription(
            "a", "localhost", "https://127.0.0.1:9443/appliance", self.url, (own,), "http://u"
        )
        paths.description.write_bytes(described.to_bytes())
        self._thread.start()
        status, result = self.do(run_task(paths, "migrate", VERSION))
        assert status == 0, result
        self.token = self._people()
        self.start_generation()
        self.start_computer()
        return self

    def __exit__(self, *_: object) -> None:
        if self.client is not None:
            self.client.send_signal(signal.SIGTERM)
            self.client.wait(10)
        for generation in self.generations:
            self._end(generation)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self.listener.close()
        shutil.rmtree(self.root)

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Carry out something asynchronous; the test itself is not."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def start_generation(self) -> None:
        """Start another generation of the site, of a newer version; those before it stop accepting and drain."""
        if self.generations:
            major, minor, patch = self.version.split(".")
            self.version = f"{major}.{int(minor) + 1}.{patch}"
        self.do(self._switch())

    def logs(self) -> str:
        """Everything that the site's processes and the Jump Client have logged."""
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in sorted(self.paths.logs.iterdir()))

    def ask(self, code: str) -> str:
        """Run Python in the site's Django; what it prints."""
        done = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{code}"],
            env=environment(self.paths, "site-ask", "ask", VERSION)
            | {"DJANGO_SETTINGS_MODULE": "staffetta.site.web.settings"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start_computer(self) -> None:
        """Enrol the computer and start its Jump Client, whose shell has a known prompt and a home of its own."""
        state = self.root / "state"
        shell = self.root / "shell.sh"
        shell.write_text(f"#!/bin/sh\ncd\nPS1='{PROMPT}' exec /bin/sh -i\n")
        shell.chmod(0o755)
        variables = {**os.environ, "HOME": str(self.home), "STAFFETTA_SHELL": str(shell), "SHELL": str(shell)}
        enrol = ("jump-client", "enrol", "--token", self.token, "--state", str(state), "--name", COMPUTER)
        subprocess.run([*COMMAND, *enrol], check=True, capture_output=True, timeout=60, env=variables)
        with (self.paths.logs / "jump-client.log").open("wb") as log:
            run = (*COMMAND, "jump-client", "run", "--state", str(state))
            self.client = subprocess.Popen(run, stderr=log, env=variables)
        wait_until("the computer online", self._online)

    def _online(self) -> bool:
        return self.ask("from staffetta.site.fleet import service\nprint(service.fleet_now().clients_online)") == "1"

    def _people(self) -> str:
        return self.ask(
            "from staffetta.site.accounts.models import Account\n"
            "from staffetta.site.accounts import service\n"
            "from staffetta.site.accounts.permissions import Allowed\n"
            "from staffetta.site.fleet import service as fleet\n"
            "admin = Account.objects.get()\n"
            "allowed = frozenset({Allowed.START_SESSIONS, Allowed.VIEW_REPORTS})\n"
            "service.make_account(admin, 'rita', allowed)\n"
            "service.make_account(admin, 'otto', frozenset({Allowed.VIEW_REPORTS}))\n"
            "for account in Account.objects.all():\n"
            f"    account.set_password({PASSWORD!r}); account.must_change_password = False; account.save()\n"
            "print(fleet.make_installer_token('admin', 10, 1).text)\n"
        )

    async def _switch(self) -> None:
        name = f"site-{next(self._names) * 4}"
        self.paths.run(name).mkdir()
        started: dict[str, Started] = {}
        for process in ("web", "gateway"):
            log = self.paths.logs / f"{name}-{process}.log"
            started[process] = await Started.start(self.paths, name, process, self.version, log)
        for one in started.values():
            await one.hear("ready", 60)
        older = self.generations[-1:]
        for generation in older:
            await _each(generation, {"do": "deactivate"}, "deactivated")
        described = [{"name": "site", "family": "inet", "address": "127.0.0.1", "port": self.port}]
        for process, one in started.items():
            gateway = process == "gateway"
            order = {"do": "activate", "sockets": described if gateway else []}
            one.tell(order, [self.listener.fileno()] if gateway else None)
            await one.hear("activated", 60)
        self.generations.append(started)
        for generation in older:
            await _each(generation, {"do": "drain", "seconds": 20}, "drained")

    def kill_gateway(self) -> None:
        """The newest generation dies; nobody says goodbye."""
        for one in self.generations.pop().values():
            one.process.kill()
            self.do(one.process.wait())

    def _end(self, generation: dict[str, Started]) -> None:
        for one in generation.values():
            if one.process.returncode is None:
                self.do(one.end())


async def _each(generation: dict[str, Started], order: dict[str, object], word: str) -> None:
    for one in generation.values():
        one.tell(order)
    for one in generation.values():
        await one.hear(word, 60)
