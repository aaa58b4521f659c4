"""A user who uploads one file to the file store slowly, as over a thin line, and compares what the site then holds."""

import argparse
import asyncio
import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

from staffetta.lab.pages import Browser
from staffetta.lab.users.acting import act

PIECE = 16 * 1024


class SlowBody:
    """A multipart body of known length that trickles out over ``seconds``; told to hurry, it sends the rest at once."""

    def __init__(self, name: str, data: bytes, seconds: float, hurry: threading.Event) -> None:
        self.boundary = "relay-race-boundary"
        head = (
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        self._body = head.encode() + data + f"\r\n--{self.boundary}--\r\n".encode()
        self._pause = seconds * PIECE / len(self._body)
        self._hurry = hurry
        self._sent = 0

    def __len__(self) -> int:
        return len(self._body)

    def read(self, size: int = -1) -> bytes:
        """Return the next piece after the pause it is due."""
        if self._sent >= len(self._body):
            return b""
        self._hurry.wait(self._pause)
        piece = self._body[self._sent : self._sent + PIECE]
        self._sent += len(piece)
        return piece


async def upload(stop: asyncio.Event, given: argparse.Namespace) -> dict[str, Any]:
    """Sign in, upload slowly, download again and compare hashes."""
    browser = Browser(given.url, given.certificate)
    failures = browser.sign_in_at_last("/login/", given.user, os.environ["LAB_PASSWORD"])
    data = os.urandom(given.size)
    name = f"upload-{os.getpid()}.bin"
    hurry = threading.Event()
    body = SlowBody(name, data, given.seconds, hurry)
    started = time.monotonic()
    sending = asyncio.create_task(asyncio.to_thread(browser.post_stream, given.page, body, body.boundary))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
    hurry.set()
    try:
        await sending
    except Exception as error:  # noqa: BLE001 - whatever went wrong is this user's account
        failures.append(f"{type(error).__name__}: {error}")
    stopping.cancel()
    seconds = time.monotonic() - started
    if not failures:
        stored = browser.download(given.page, name)
        if hashlib.sha256(stored).digest() != hashlib.sha256(data).digest():
            failures.append(f"the file that came back differs ({len(stored)} of {len(data)} bytes)")
    return {
        "requests": 1,
        "failed": len(failures),
        "failures": failures[:20],
        "seconds": round(seconds, 1),
        "bytes": len(data),
    }


def main() -> None:
    """Read the options and upload; SIGTERM makes the rest go at once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--page", required=True, help="path of the file store's page")
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--user", required=True, help="the password comes in LAB_PASSWORD")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--size", type=int, default=4 * 1024 * 1024)
    given = parser.parse_args()
    act(lambda stop: upload(stop, given))


if __name__ == "__main__":
    main()
