"""An administrator who watches a job's live progress and reads the page's stream until the job has ended.

When the stream says `moved`, or ends, it is opened again from the last id that was seen, as the browser does. A refused
or broken connection counts as a failure.
"""

import argparse
import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import requests

from staffetta.lab.pages import Browser
from staffetta.lab.users.acting import act


class Watch:
    """The stream of one job: every id seen, how often it was opened, what failed."""

    def __init__(self, browser: Browser, job: str) -> None:
        self._browser = browser
        self._path = f"/appliance/updates/jobs/{job}/events"
        self.ids: list[int] = []
        self.opened = 0
        self.failures: list[str] = []
        self.stopped = threading.Event()

    def follow(self) -> None:
        """Read until the job ends or the user is asked to stop."""
        while not self.stopped.is_set():
            self.opened += 1
            try:
                if self._read():
                    return
            except requests.RequestException as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                self.stopped.wait(0.2)

    def _read(self) -> bool:
        kind = ""
        last = {"Last-Event-ID": str(self.ids[-1])} if self.ids else {}
        with self._browser.stream(self._path, last) as response:
            if response.status_code != 200:
                self.failures.append(f"status {response.status_code}")
                self.stopped.wait(0.2)
                return False
            for line in response.iter_lines(chunk_size=1, decode_unicode=True):
                if line.startswith("event:"):
                    kind = line.removeprefix("event:").strip()
                elif line.startswith("id:"):
                    self.ids.append(int(line.removeprefix("id:")))
                elif not line:
                    if kind == "ended":
                        return True
                    if kind == "moved":
                        return False
                    kind = ""
                if self.stopped.is_set():
                    return True
        return False


async def watch(stop: asyncio.Event, given: argparse.Namespace) -> dict[str, Any]:
    """Sign in, follow the job to its end, say whether each journalled event was seen once and in order."""
    browser = Browser(given.url, given.certificate)
    failures = browser.sign_in_at_last("/appliance/", given.user, os.environ["LAB_PASSWORD"])
    one = Watch(browser, given.job)
    following = asyncio.create_task(asyncio.to_thread(one.follow))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
    one.stopped.set()
    stopping.cancel()
    failures += one.failures
    if not following.done():
        failures.append("the stream never told the job's end")
    elif (error := following.exception()) is not None:
        failures.append(f"{type(error).__name__}: {error}")
    if one.ids != sorted(set(one.ids)):
        failures.append(f"events came twice or out of order: {one.ids}")
    return {
        "requests": one.opened,
        "failed": len(failures),
        "failures": failures[:20],
        "events": len(one.ids),
    }


def main() -> None:
    """Read the options and watch until the job ends or SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--user", default="admin", help="the password comes in LAB_PASSWORD")
    given = parser.parse_args()
    act(lambda stop: watch(stop, given))


if __name__ == "__main__":
    main()
