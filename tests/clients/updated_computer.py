"""A computer whose Jump Client was installed from a signed bundle and updates itself, with everything real but size.

A package holds no copy of the program: its environment leads to this source tree, so that it is made in no time. What
makes a version bad (it crashes, it cannot reach the site) is a line that its interpreter runs first.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clients.conftest import run
from clients.simulated_gateway import Site, wait_for
from staffetta.clients.installed import store_mode
from staffetta.clients.state_directory import StateDirectory
from staffetta.kernel.clock import utc_now
from staffetta.packages import Kind
from staffetta.site.fleet import rollout
from staffetta.wire.enrolment import UpdateAction, UpdateAnswer, UpdateQuestion
from staffetta.wire.vocabulary import ClientMode
from vendor.publisher import Publisher, interpreter

RUN = (
    '#!/bin/sh\nself=$(readlink -f -- "$0") || exit\n'
    'exec "${self%/*}/python" -B -P -m staffetta.clients "$@"\n'
)  # fmt: skip
SOURCE = Path(__file__).parents[2] / "src"
SITE_PACKAGES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"

UNREACHABLE = "import staffetta.clients.runtime.presence as p; p.CONNECT_PATH = '/nowhere'"
"""A version that starts, and asks, and never gets its place at the site."""
CRASHES = (
    "import sys; '--check' in sys.orig_argv or sys.modules.update({'staffetta.clients.jump_client.service': None})"
)
"""A version that passes its trial and cannot be imported when it is run."""
DOES_NOT_START = "import sys; sys.modules.update({'staffetta.clients.running': None})"


def client_package(publisher: Publisher, version: str, line: str = "") -> Path:
    """Make the package of one version of the client; ``line`` is run when its interpreter starts."""
    paths = f"{SOURCE}\n{sysconfig.get_path('purelib')}\n{line}\n"
    home = interpreter().path.parent
    return publisher.package(
        Kind.CLIENT,
        version,
        content={
            "pyvenv.cfg": f"home = {home}\ninclude-system-site-packages = false\n".encode(),
            f"{SITE_PACKAGES}/paths.pth": paths.encode(),
            "share/ballast": os.urandom(300_000),
        },
        run=RUN,
    )


class Vendor:
    """A publisher, and what the site hands out of it."""

    def __init__(self, folder: Path, site: Site) -> None:
        folder.mkdir()
        self.publisher = Publisher(folder, utc_now())
        self.site = site
        self.version = ""
        self.site.answer_update = self.answer
        self.held = False

    def hands_out(self, version: str, line: str = "") -> Path:
        """Sign a version and let the site hand it out; returns the file that the site serves."""
        (info,) = self.publisher.publish(client_package(self.publisher, version, line), now=utc_now())
        bundle = self.publisher.bundle(info.target, output=f"{version}.bundle")
        served = self.site.folder / "clients.bundle"
        served.write_bytes(bundle.read_bytes())
        self.version = version
        return served

    def answer(self, question: UpdateQuestion) -> UpdateAnswer:
        """Answer as a site does that lets everybody update."""
        if self.held or not rollout.behind(question.version, self.version) or question.failed == self.version:
            return UpdateAnswer(question.version, UpdateAction.STAY, retry_seconds=1)
        content = (self.site.folder / "clients.bundle").read_bytes()
        return UpdateAnswer(
            self.version, UpdateAction.UPDATE, "/client/bundle", len(content), hashlib.sha256(content).hexdigest(), 1
        )


class Updated:
    """A computer with an installed client; ``start`` is what its init system does."""

    def __init__(
        self, site: Site, vendor: Vendor, folder: Path, name: str = "desk", *, passive: bool = False, **settings: float
    ) -> None:
        self.site = site
        self.state = folder / name
        root = folder / "root.json"
        root.write_bytes(vendor.publisher.root)
        run(
            "jump-client", "install", "--token", "-", "--state", str(self.state), "--root", str(root), "--name", name,
            text=f"{site.installer_token()}\n",
        )  # fmt: skip
        self.id = next(one.id for one in site.clients.values() if one.name == name)
        if passive:
            store_mode(StateDirectory(self.state), ClientMode.PASSIVE)
        self._settings: dict[str, float] = {}
        self.set(**settings)
        self.log = folder / f"{name}.log"
        self.environment = {**os.environ, "HOME": str(folder)}
        self.process: subprocess.Popen[bytes] | None = None

    def set(self, **settings: float) -> None:
        """Change settings of the client; one that runs has read its own."""
        self._settings |= settings
        lines = [f"{key} = {value}" for key, value in self._settings.items()]
        (self.state / "settings.toml").write_text("[clients]\n" + "\n".join(lines) + "\n")

    def start(self) -> subprocess.Popen[bytes]:
        run = self.state / "releases" / "current" / "bin" / "run"
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [str(run), "jump-client", "--state", str(self.state)],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self.environment,
            )  # fmt: skip
        return self.process

    def keep_running(self, done: Callable[[], bool], seconds: float = 60) -> int:
        """Start it whenever it is dead, until ``done``; returns how often it had to be started again."""
        deadline, starts = time.monotonic() + seconds, 0
        while not done():
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            if self.process is None or self.process.poll() is not None:
                self.start()
                starts += 1
            time.sleep(0.05)
        return starts

    @property
    def current(self) -> str:
        return str((self.state / "releases" / "current").readlink())

    @property
    def steps(self) -> list[tuple[str, str]]:
        """The journal: each step with its version."""
        path = self.state / "updates.journal"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(entry["step"], entry["version"]) for entry in map(json.loads, lines)]

    def told(self) -> tuple[str, dict[str, str]]:
        """The version and the status that the site was last told."""
        return next(((version, status) for id_, version, status in reversed(self.site.statuses) if id_ == self.id))

    def wait_told(self, what: str, right: Callable[[str, dict[str, str]], bool], seconds: float = 40) -> dict[str, str]:
        """Wait until the site was told something; returns that status."""

        def heard() -> dict[str, str] | None:
            of_it = [(version, status) for id_, version, status in self.site.statuses if id_ == self.id]
            return next((status for version, status in of_it if right(version, status)), None)

        try:
            found: dict[str, str] = wait_for(what, heard, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log.read_text()[-4000:]}") from None
        return found

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


class KillingGate:
    """Kills a client at each journal write, once before and once after it is on the disk."""

    def __init__(self, path: Path, steps: frozenset[str]) -> None:
        self.path = path
        self.killed: list[tuple[str, str]] = []
        self._steps = steps
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                line: dict[str, Any] = json.loads(connection.makefile().readline())
                point = (line["entry"]["step"], line["when"])
                if point[0] in self._steps and point not in self.killed:
                    self.killed.append(point)
                    os.kill(line["pid"], signal.SIGKILL)
                else:
                    connection.sendall(b"go on\n")

    def close(self) -> None:
        self._listener.close()
