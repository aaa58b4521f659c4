"""The pages as they run: the ASGI application under a real server, with an upload that streams."""

import http.client
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_site import PASSWORD, run_site, site_environment

pytestmark = pytest.mark.live
PIECE = 64 * 1024
SPOOLS_FROM = 3 * 1024 * 1024  # above what Django's own handler keeps in memory
BOUNDARY = "a-boundary-that-random-bytes-do-not-hold"


class Browser:
    """A person's browser on the pages' socket; headers are as the door sets them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cookies: dict[str, str] = {}

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(30)
        connection.sock.connect(str(self.path))
        return connection

    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {
            "Host": "localhost",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.1",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "Referer": "https://localhost/",
        }

    def ask(self, method: str, address: str, body: bytes | None = None, **headers: str) -> tuple[int, str, bytes]:
        """Ask; returns status, where it leads, and the body."""
        connection = self.connect()
        connection.request(method, address, body, {**self.headers(), **headers})
        answer = connection.getresponse()
        content = answer.read()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return answer.status, answer.headers.get("Location", ""), content

    def form_secret(self, address: str) -> str:
        """The secret in a page's form."""
        found = re.search(rb'name="csrfmiddlewaretoken" value="([^"]+)"', self.ask("GET", address)[2])
        assert found is not None
        return found[1].decode()

    def sign_in(self) -> None:
        """Sign in as the administrator."""
        secret = self.form_secret("/login")
        form = f"csrfmiddlewaretoken={secret}&username=admin&password={PASSWORD.replace(' ', '+')}".encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        status, leads, _ = self.ask("POST", "/login/sign-in", form, **kind)
        assert (status, leads) == (302, "/login/status/information")


@pytest.fixture
def pages(site_folder: Path) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """The pages, served on a socket."""
    run_site(
        site_folder,
        "-c",
        "import django; django.setup()\n"
        "from staffetta.site.accounts.models import Account\n"
        "admin = Account.objects.get()\n"
        f"admin.set_password({PASSWORD!r}); admin.must_change_password = False; admin.save()",
    )
    path = site_folder / "web.sock"
    command = [sys.executable, "-m", "uvicorn", "staffetta.site.web.asgi:application", "--uds", str(path)]
    environment = {**site_environment(site_folder), "TMPDIR": str(site_folder)}
    with subprocess.Popen([*command, "--log-level", "warning"], env=environment) as process:
        deadline = time.monotonic() + 60
        while not _listens(path):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield path, process
        process.terminate()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0


def _peak(process: "subprocess.Popen[bytes]") -> int:
    """The most memory that a process has held, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def _upload_head(secret: str, name: str) -> bytes:
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n{secret}\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    ).encode()


@pytest.mark.req("S6")
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_arrives_in_the_blob_folder_while_it_is_sent(
    pages: tuple[Path, "subprocess.Popen[bytes]"], chunked: bool
) -> None:
    path, process = pages
    browser = Browser(path)
    browser.sign_in()
    head, tail = _upload_head(browser.form_secret("/login/files"), "big.bin"), f"\r\n--{BOUNDARY}--\r\n".encode()
    pieces, piece = 1600, os.urandom(PIECE)
    connection = browser.connect()
    connection.putrequest("POST", "/login/files/upload", skip_host=True)
    for name, value in browser.headers().items():
        connection.putheader(name, value)
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(len(head) + pieces * PIECE + len(tail)))
    connection.endheaders()
    before = _peak(process)

    def send(data: bytes) -> None:
        connection.send(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)

    send(head)
    incoming = path.parent / "blobs" / "incoming"
    half = 0
    for number in range(pieces):
        send(piece)
        if number == pieces // 2:
            deadline = time.monotonic() + 20
            while half < pieces // 4 * PIECE and time.monotonic() < deadline:
                half = sum(one.stat().st_size for one in incoming.glob("*")) if incoming.exists() else 0
                time.sleep(0.02)
    assert half >= pieces // 4 * PIECE  # it was on the disk before the rest was sent
    send(tail)
    if chunked:
        connection.send(b"0\r\n\r\n")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (302, "/login/files")
    answer.read()
    connection.close()
    assert list(incoming.glob("*")) == []
    stored = [one for one in (path.parent / "blobs").rglob("*") if one.is_file()]
    assert [one.stat().st_size for one in stored] == [pieces * PIECE]
    listed = browser.ask("GET", "/login/files")[2].decode()
    link = re.search(r'href="(/login/files/[a-z2-7]+/download)"', listed)
    assert link is not None
    status, _, content = browser.ask("GET", link[1])
    assert status == 200 and content == piece * pieces
    assert _peak(process) - before < 40 * 1024 * 1024  # of 100 MB in and 100 MB out
    assert not [one for one in path.parent.iterdir() if one.is_file() and one.name.startswith("tmp")]


def test_who_may_not_store_is_refused_before_sending(pages: tuple[Path, "subprocess.Popen[bytes]"]) -> None:
    path, _ = pages
    connection = Browser(path).connect()
    connection.putrequest("POST", "/login/files/upload", skip_host=True)
    for name, value in Browser(path).headers().items():
        connection.putheader(name, value)
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()
    assert not (path.parent / "blobs").exists()


def test_a_sender_who_goes_away_leaves_nothing(pages: tuple[Path, "subprocess.Popen[bytes]"]) -> None:
    path, _ = pages
    browser = Browser(path)
    browser.sign_in()
    head = _upload_head(browser.form_secret("/login/files"), "half.bin")
    connection = browser.connect()
    connection.putrequest("POST", "/login/files/upload", skip_host=True)
    for name, value in browser.headers().items():
        connection.putheader(name, value)
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(10**9))
    connection.endheaders()
    connection.send(head + os.urandom(SPOOLS_FROM))
    incoming = path.parent / "blobs" / "incoming"
    deadline = time.monotonic() + 20
    while not (incoming.exists() and list(incoming.glob("*"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    connection.close()
    while list(incoming.glob("*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert browser.ask("GET", "/login/files")[0] == 200
    assert [one for one in (path.parent / "blobs").rglob("*") if one.is_file()] == []


def test_any_other_body_is_bounded(pages: tuple[Path, "subprocess.Popen[bytes]"]) -> None:
    path, _ = pages
    browser = Browser(path)
    connection = browser.connect()
    connection.putrequest("POST", "/login/sign-in", skip_host=True)
    for name, value in browser.headers().items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(10**12))
    connection.endheaders()
    connection.send(b"x" * (1024 * 1024 + 1))
    assert connection.getresponse().status == 413
    connection.close()
    assert browser.ask("GET", "/login")[0] == 200
