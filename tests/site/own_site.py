"""A site of one's own for tests: other processes of it, and answers that are streamed."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from django.http import HttpResponseBase

from staffetta.site.fleet import service as fleet
from staffetta.wire.identity import SigningKey

SOURCE = Path(__file__).parents[2] / "src"
PASSWORD = "correct horse battery"


def body_of(response: HttpResponseBase) -> bytes:
    """Read a streamed answer to its end."""

    async def collect() -> bytes:
        return b"".join([piece async for piece in response.streaming_content])  # type: ignore[attr-defined]

    return asyncio.run(collect())


def site_environment(folder: Path) -> dict[str, str]:
    """The environment of a process of the site in this folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STAFFETTA_")}
    return {
        **kept,
        "STAFFETTA_SITE_DATABASE": str(folder / "site.sqlite3"),
        "DJANGO_SETTINGS_MODULE": "staffetta.site.web.settings",
        "PYTHONPATH": str(SOURCE),
    }


def run_site(folder: Path, *arguments: str) -> str:
    """Run Python with the site's settings on this folder; returns what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments], env=site_environment(folder), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def enrolled(name: str) -> str:
    """Enrol a computer with a key and a token of its own; returns the client's id."""
    token = fleet.make_installer_token("admin", 1, 1)
    return fleet.enrol(token.text, SigningKey(os.urandom(32)).public, name, {"system": "Linux"}).id
