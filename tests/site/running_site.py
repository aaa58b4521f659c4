"""The site's pages as they run, behind the real TLS door, with sessions that have been held there."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from own_site import run_site, site_environment

from base_web.tls_door import door_before

SECONDS = 60.0


@dataclass(frozen=True)
class RunningSite:
    """Where the pages answer, their process, and the ids of the sessions that ``told_session.py`` has made."""

    url: str
    folder: Path
    process: "subprocess.Popen[bytes]"
    sessions: dict[str, str]


@contextmanager
def running_site(migrated: Path, folder: Path, release: Path | None = None) -> Iterator[RunningSite]:
    """Serve a copy of a migrated site from a folder, as what a release brings along if one is given."""
    shutil.copytree(migrated, folder)
    sessions = json.loads(run_site(folder, str(Path(__file__).with_name("told_session.py"))))
    pages = folder / "web.sock"
    command = [sys.executable, "-m", "uvicorn", "staffetta.site.web.asgi:application", "--uds", str(pages)]
    environment = {**site_environment(folder), "TMPDIR": str(folder)}
    if release is not None:
        environment["STAFFETTA_RELEASE"] = str(release)
    with (
        subprocess.Popen([*command, "--log-level", "warning"], env=environment) as process,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        try:
            deadline = time.monotonic() + SECONDS
            while not _listens(pages):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            with door_before(pages, listener, folder / "door.pem"):
                url = f"https://localhost:{listener.getsockname()[1]}"
                yield RunningSite(url, folder, process, sessions)
        finally:
            process.terminate()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0
