"""How base proves itself before it gets a socket: its own door and pages, its database, its trust, its journal."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import httpx

from staffetta.base.errors import StepFailed
from staffetta.base.installs.journal import InstallJournal
from staffetta.base.updates.service import UpdateService
from staffetta.control.paths import ApplianceDescription, AppliancePaths
from staffetta.control.private import Check, Proof
from staffetta.kernel.clock import spoken_time
from staffetta.kernel.errors import StaffettaError

PAGE: Final = "/appliance/"
PAGE_SECONDS: Final = 20.0


class BaseProof:
    """What base tries, each part by itself."""

    def __init__(
        self,
        paths: AppliancePaths,
        description: ApplianceDescription,
        private_door: Path,
        updates: UpdateService,
        journal: InstallJournal,
    ) -> None:
        self._paths = paths
        self._description = description
        self._private_door = private_door
        self._updates = updates
        self._journal = journal

    async def prove(self) -> Proof:
        """Try everything; a part that fails says why and stops no other."""
        parts: tuple[tuple[str, Callable[[], Awaitable[str]]], ...] = (
            ("pages", self._pages),
            ("database", self._in_thread(self._database)),
            ("trust", self._in_thread(self._trust)),
            ("journal", self._in_thread(self._read_journal)),
        )
        return Proof.of(tuple([await _try(name, part) for name, part in parts]))

    async def _pages(self) -> str:
        """A page through this generation's own TLS door, the way an administrator's browser comes."""
        host = self._description.appliance_url.partition("//")[2].partition("/")[0]
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whose it is: our own socket's path says
        transport = httpx.AsyncHTTPTransport(uds=str(self._private_door), verify=context)
        async with httpx.AsyncClient(transport=transport, timeout=PAGE_SECONDS, follow_redirects=True) as client:
            answer = await client.get(f"https://{host}{PAGE}")
        if answer.status_code != 200 or "</html>" not in answer.text:
            raise StepFailed(f"{answer.url.path} answered {answer.status_code}.")
        return f"{answer.url.path} answered with a page of {len(answer.content)} bytes."

    def _database(self) -> str:
        """The tables are there and a write could be made; nothing is written."""
        with closing(
            sqlite3.connect(self._paths.base / "base.sqlite3", timeout=10.0, isolation_level=None)
        ) as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                (count,) = database.execute("SELECT count(*) FROM django_migrations").fetchone()
            finally:
                database.execute("ROLLBACK")
        return f"{count} migrations are applied."

    def _trust(self) -> str:
        floor = self._updates.floor.read()
        known = "not yet known" if floor is None else spoken_time(floor)
        return f"Device {self._updates.device}; trusted time {known}."

    def _read_journal(self) -> str:
        self._journal.read()
        return f"{len(self._journal.jobs)} install jobs are readable."

    @staticmethod
    def _in_thread(part: Callable[[], str]) -> Callable[[], Awaitable[str]]:
        return lambda: asyncio.to_thread(part)


async def _try(name: str, part: Callable[[], Awaitable[str]]) -> Check:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        detail, ok = await part(), True
    except StaffettaError as error:
        detail, ok = error.message, False
    except (OSError, ValueError, sqlite3.Error, httpx.HTTPError) as error:
        detail, ok = f"{type(error).__name__}: {error}", False
    return Check(name, ok, detail, (loop.time() - began) * 1000)
