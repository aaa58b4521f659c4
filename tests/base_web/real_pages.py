"""The pages as they really run: a process of their own on a unix socket, an own database file, a base behind them."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from staffetta.control.paths import ApplianceDescription, AppliancePaths

from .control_server import ControlServer

SECONDS = 30.0
BASE = [sys.executable, "-m", "staffetta.base"]
NEW_PASSWORD = "a-better-relay-7"


def wait_until(what: str, is_so: Callable[[], bool]) -> None:
    """Poll until it is so; fails after half a minute."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.02)


def post(browser: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Open a page with a form and send the form back."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(path).text)
    assert token is not None
    data = {"csrfmiddlewaretoken": token[1], **fields}
    return browser.post(path, data=data, headers={"Referer": f"https://127.0.0.1:9443{path}"})


class RealPages:
    """A folder of an appliance with base's web process running in it."""

    def __init__(self, port: int = 9443) -> None:
        # Short, because a unix socket's path holds 108 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="sa-"))
        self.paths = AppliancePaths(self.folder)
        for name in ("base", "run"):
            (self.folder / name).mkdir(mode=0o700)
        self.paths.description.write_bytes(
            ApplianceDescription(
                name="appliance-a",
                hostname="support.example.com",
                appliance_url=f"https://127.0.0.1:{port}/appliance",
                site_url="https://127.0.0.1:8443",
                addresses=("127.0.10.1:8443",),
                update_server="http://127.0.10.9:8080",
            ).to_bytes()
        )
        self.socket = self.folder / "run" / "web.sock"
        self.control = ControlServer(self.paths.control_socket)
        self.password = "password"
        self.keeper: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Migrate, start the process as keeper does, hand over; returns when it answers."""
        subprocess.run([*BASE, "migrate"], env=self._environment("migrate"), check=True, stdout=subprocess.DEVNULL)
        self.keeper, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.keeper.settimeout(SECONDS)
        with theirs, (self.folder / "web.log").open("ab") as log:
            os.set_inheritable(theirs.fileno(), True)
            environment = self._environment("web") | {"STAFFETTA_KEEPER_FD": str(theirs.fileno())}
            self.process = subprocess.Popen([*BASE, "web"], env=environment, pass_fds=[theirs.fileno()], stderr=log)
        assert self._said() == "ready", self.log()
        self._tell("activate", sockets=[])
        assert self._said() == "activated", self.log()
        assert self._answers()

    def _environment(self, process: str) -> dict[str, str]:
        names = {
            "GENERATION": "base-aaaaaaaaaaaaaaaaaaaaaaaaaa",
            "PROGRAM": "base",
            "PROCESS": process,
            "VERSION": "1.0",
            "RELEASE": str(self.folder / "releases" / "base" / "1.0"),
            "APPLIANCE": str(self.folder),
            "RUN": str(self.folder / "run"),
        }
        return os.environ | {f"STAFFETTA_{name}": value for name, value in names.items()}

    def _tell(self, order: str, **more: object) -> None:
        assert self.keeper is not None
        self.keeper.send(json.dumps({"do": order, **more}).encode())

    def _said(self) -> str:
        assert self.keeper is not None
        message = self.keeper.recv(65536)
        return str(json.loads(message)["say"]) if message else "nothing: it is gone"

    def stop(self) -> None:
        """End the process in good order."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(SECONDS)

    def drain(self) -> None:
        """Tell the process that another generation takes over, and to drain; returns when it has."""
        for order, answer in (("deactivate", "deactivated"), ("drain", "drained")):
            self._tell(order, seconds=10)
            assert self._said() == answer, self.log()

    def log(self) -> str:
        """What the process has logged."""
        return (self.folder / "web.log").read_text()

    def browser(self) -> httpx.Client:
        """A client at the place of the door: speaks to the socket, sets the door's headers, keeps the cookies."""
        jar: dict[str, str] = {}

        def send_cookies(request: httpx.Request) -> None:
            request.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())

        def keep_cookies(response: httpx.Response) -> None:
            for line in response.headers.get_list("set-cookie"):
                name, _, value = line.partition(";")[0].partition("=")
                jar[name] = value

        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)),
            base_url="http://127.0.0.1:9443",
            headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.4"},
            timeout=SECONDS,
            event_hooks={"request": [send_cookies], "response": [keep_cookies]},
        )

    @contextmanager
    def signed_in(self) -> Iterator[httpx.Client]:
        """A client in which `admin` is signed in, with a password changed as the pages demand."""
        with self.browser() as browser:
            answer = post(browser, "/appliance/sign-in", username="admin", password=self.password)
            if answer.headers["Location"] == "/appliance/change-password":
                fields = {"old_password": "password", "new_password1": NEW_PASSWORD, "new_password2": NEW_PASSWORD}
                answer = post(browser, "/appliance/change-password", **fields)
                self.password = NEW_PASSWORD
            assert answer.headers["Location"] == "/appliance/", answer.text
            yield browser

    def _answers(self) -> bool:
        try:
            with self.browser() as browser:
                return browser.get("/appliance/sign-in").status_code == 200
        except httpx.TransportError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
        if self.keeper is not None:
            self.keeper.close()
        shutil.rmtree(self.folder)


@contextmanager
def real_pages() -> Iterator[RealPages]:
    """The pages with their base answering."""
    with RealPages() as pages, pages.control.serving():
        yield pages
