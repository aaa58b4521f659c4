"""A new generation proves itself before it gets a socket: pages, sign-in, database, and a session that resumes.

Everything goes through the real face, TLS and all, on the private socket ``front.sock``. What is made for it (an
account with a random password, a probe session) is outside every report and removed at the end.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from django.db import transaction

from staffetta.control.private import Check, Proof
from staffetta.front.reaching import PrivateDoorConnector
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.ids import new_id
from staffetta.kernel.log import get_logger
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.sessions import SessionStore
from staffetta.site.data.database import in_database
from staffetta.site.data.probing import probe_database
from staffetta.site.gateway.errors import GatewayError
from staffetta.site.gateway.probe_session import ProbeSession
from staffetta.site.gateway.signing import Signer
from staffetta.site.processes.child import check_database

_log = get_logger(__name__)

TOTAL_SECONDS: Final = 9.0
_CHECK_SECONDS: Final = 6.0
_TOKEN: Final = re.compile(r'name="csrfmiddlewaretoken"\s+value="([^"]+)"')
_SIGN_IN: Final = "/login/sign-in"
_FIRST_PAGE: Final = "/login/status/information"

Work = Callable[[], Awaitable[str]]


class NotProvable(GatewayError):
    """A check did not show what it should."""

    code = "not-provable"


@dataclass(frozen=True, slots=True)
class _Probe:
    """The account that the proof signs in with."""

    id: str
    username: str
    password: str


class Prover:
    """Runs the checks of one generation; one proof at a time. ``site_url`` is how the pages are asked."""

    def __init__(self, front_socket: Path, signer: Signer, site_url: str) -> None:
        self._socket = front_socket
        self._signer = signer
        self._site = site_url.rstrip("/")
        self._turn = asyncio.Lock()

    async def prove(self) -> Proof:
        """Run every check, each named, timed, and with a sentence of what it saw; within ten seconds in all."""
        async with self._turn:
            deadline = asyncio.get_running_loop().time() + TOTAL_SECONDS
            checks = [
                await _check("database", deadline, self._database),
                await _check("pages", deadline, self._pages),
                await _check("sign-in", deadline, self._sign_in),
                await _check("session", deadline, self._session),
            ]
            return Proof.of(tuple(checks))

    async def _database(self) -> str:
        await in_database(check_database)
        return await in_database(probe_database)

    async def _pages(self) -> str:
        async with self._client() as http, http.get(f"{self._site}/login") as answer:
            await answer.read()
            if answer.status != 200:
                raise NotProvable(f"/login answered {answer.status}.")
            return f"/login answered 200 at {answer.url.path}"

    async def _sign_in(self) -> str:
        probe = await in_database(_make_probe)
        try:
            async with self._client() as http:
                return await self._sign_in_as(http, probe)
        finally:
            await asyncio.shield(in_database(_remove_probe, probe.id))

    async def _sign_in_as(self, http: aiohttp.ClientSession, probe: _Probe) -> str:
        url = f"{self._site}{_SIGN_IN}"
        async with http.get(url) as page:
            token = _TOKEN.search(await page.text())
            if page.status != 200 or token is None:
                raise NotProvable(f"{_SIGN_IN} answered {page.status} without a form.")
        form = {"csrfmiddlewaretoken": token[1], "username": probe.username, "password": probe.password}
        async with http.post(url, data=form, headers={"Referer": url}, allow_redirects=False) as answer:
            if answer.status != 302:
                raise NotProvable(f"Signing in answered {answer.status}.")
        async with http.get(f"{self._site}{_FIRST_PAGE}", allow_redirects=False) as page:
            if page.status != 200:
                raise NotProvable(f"{_FIRST_PAGE} answered {page.status} after signing in.")
        return f"signed in, {_FIRST_PAGE} answered 200"

    async def _session(self) -> str:
        probe = ProbeSession(self._site, self._client, self._signer)
        return await probe.run()

    def _client(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=PrivateDoorConnector(self._socket, self._signer.certificate().hex()),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=_CHECK_SECONDS),
        )


async def _check(name: str, deadline: float, work: Work) -> Check:
    loop = asyncio.get_running_loop()
    started = loop.time()
    ok = False
    try:
        async with asyncio.timeout_at(min(deadline, started + _CHECK_SECONDS)):
            detail = await work()
        ok = True
    except TimeoutError:
        detail = "It took too long."
    except StaffettaError as error:
        detail = error.message
    except Exception as error:  # noqa: BLE001 - whatever goes wrong is the result of the check
        _log.exception("a check failed", extra={"check": name})
        detail = f"{type(error).__name__}: {error}"
    return Check(name, ok, detail, round((loop.time() - started) * 1000, 1))


def _make_probe() -> _Probe:
    probe = _Probe("", f"probe-{new_id()}", secrets.token_urlsafe(32))
    account = Account.objects.create_account(probe.username, probe.password, probe=True)
    return _Probe(account.id, probe.username, probe.password)


def _remove_probe(account_id: str) -> None:
    with transaction.atomic():
        SessionStore.end_all_of(account_id)
        Account.objects.filter(pk=account_id).delete()
