"""A base service for these tests: the contract's HTTP over a real unix socket, answered from values a test sets."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from staffetta.control.appliance import (
    ApplianceStatus,
    Certificate,
    Eula,
    EventKind,
    Generation,
    InstallEvent,
    Job,
    JobState,
    Offer,
    Updates,
    Waypoint,
    to_json,
)
from staffetta.control.pairing import Grant, SharedAddress, SharedState

AT = datetime(2026, 11, 24, 5, 48, 15, tzinfo=UTC)
EULA = "Licence agreement of a test.\n\nYou may use it.\n"
JOB = "job-aaaaaaaaaaaaaaaaaaaaaaaaaa"

STATUS = ApplianceStatus(
    name="appliance-a",
    base_version="1.0",
    site_version="1.0",
    time=AT,
    hostname="support.example.com",
    sessions_live=3,
    clients_online=128,
    eula_accepted=False,
    generations=(
        Generation("base", "base-k3v9aaaaaaaaaaaaaaaaaaaaaa", "1.0", "active", True),
        Generation("site", "site-b2c4aaaaaaaaaaaaaaaaaaaaaa", "1.0", "active", True),
        Generation(
            "site", "site-zzzzaaaaaaaaaaaaaaaaaaaaaa", "1.1", "failed", False, "it answers, but its probe fails"
        ),
    ),
    appliance_url="https://127.0.10.1:9443/appliance",
    site_url="https://support.example.test:8443",
    own_site_url="https://127.0.10.1:8443",
    update_server="http://127.0.10.9:8080",
)
OFFERS = (
    Offer(
        "base/1.1/base.tar.zst", "base", "1.1", 24_100_000, "Faster start.\nSmaller log.", True, (), False, EULA, True
    ),
    Offer(
        "site/1.1/site.tar.zst",
        "site",
        "1.1",
        31_400_000,
        "Greets people by name.",
        False,
        ("It needs base 1.1 or newer; base 1.0 is installed. Install base 1.1 first.",),
        False,
        EULA,
        True,
    ),
)
WAY = (Waypoint("base", "1.1"), Waypoint("site", "1.1", ("base 1.1 or newer",)))
CERTIFICATES = (
    Certificate(
        "site",
        "support.example.com",
        "support.example.com",
        ("support.example.com", "127.0.10.1"),
        AT,
        AT + timedelta(days=365),
        ("It is self-signed: browsers warn of it. Import a certificate of an authority they know.",),
        "ab" * 32,
    ),
    Certificate(
        "appliance", "appliance-a", "Example Authority R3", ("127.0.10.1",), AT, AT + timedelta(days=90), (), "cd" * 32
    ),
)
STEPS = ("verify", "reserve", "download", "stage", "check", "snapshot", "migrate", "start", "prove", "activate")


class ControlServer:
    """What base's service would answer; a test changes the attributes, and `tell` sends events to whoever watches."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.forget()
        self.watching = 0
        self._moves = 0
        self._changed: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def forget(self) -> None:
        """Be as a base that was just installed."""
        self.status = STATUS
        self.updates = Updates(None, ())
        self.eula: Eula | None = Eula(EULA, hashlib.sha256(EULA.encode()).hexdigest(), False)
        self.certificates = CERTIFICATES
        self.jobs: dict[str, Job] = {}
        self.events: list[InstallEvent] = []
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.opened_after: list[int] = []
        self.upload = b""
        self.shared = SharedAddress(SharedState.HELD, "127.0.10.3", 8443, "eth0", True, 4, True)
        self.grant: Grant | None = None

    def begin_job(self, kind: str = "site", version: str = "1.1") -> None:
        """A job that has just begun to verify."""
        self.jobs[JOB] = Job(JOB, kind, version, JobState.RUNNING, "verify", AT, actor="admin")
        self.tell(self.step(1, "verify"))

    def step(self, sequence: int, step: str, text: str = "") -> InstallEvent:
        """A kept event: the job is at `step`."""
        at = AT + timedelta(seconds=sequence)
        return InstallEvent(sequence, EventKind.STEP, step, text or f"Now at {step}.", state=JobState.RUNNING, time=at)

    def tell(self, event: InstallEvent) -> None:
        """Something happened to the job."""
        job = self.jobs[JOB]
        if event.kind is EventKind.STEP:
            self.jobs[JOB] = replace(job, step=event.step, text=event.text, bytes_done=None, bytes_total=None)
        elif event.kind is EventKind.ENDED:
            assert event.state is not None
            error = event.text if event.state is JobState.UNDONE else None
            self.jobs[JOB] = replace(job, step=event.step, state=event.state, ended=AT, error=error)
        else:
            self.jobs[JOB] = replace(job, bytes_done=event.bytes_done, bytes_total=event.bytes_total)
        self.events.append(event)
        self._wake()

    def end(self, sequence: int, state: JobState, text: str) -> None:
        """The job is over."""
        self.tell(
            InstallEvent(sequence, EventKind.ENDED, str(state), text, state=state, time=AT + timedelta(minutes=1))
        )

    def move(self) -> None:
        """This base is being replaced: every open stream ends with `moved`."""
        self._moves += 1
        self._wake()

    def _wake(self) -> None:
        if self._loop is not None and self._changed is not None:
            changed, loop = self._changed, self._loop
            self._changed = asyncio.Event()
            loop.call_soon_threadsafe(changed.set)

    @contextmanager
    def serving(self) -> Iterator["ControlServer"]:
        """Answer on the socket, from a thread with a loop of its own."""
        started, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._changed = asyncio.Event()
            runner = web.AppRunner(self._application(), shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            self.socket.parent.mkdir(exist_ok=True)
            await web.UnixSite(runner, str(self.socket)).start()
            started.set()
            await stop.wait()
            await runner.cleanup()
            self.socket.unlink(missing_ok=True)

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        assert started.wait(10)
        try:
            yield self
        finally:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(stop.set)
            thread.join(10)

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=1 << 30)
        application.router.add_get("/v1/status", self._json(lambda: self.status))
        application.router.add_get("/v1/updates", self._json(lambda: self.updates))
        application.router.add_post("/v1/updates/check", self._check)
        application.router.add_get("/v1/eula", self._eula)
        application.router.add_post("/v1/eula", self._accept)
        application.router.add_post("/v1/installs", self._install)
        application.router.add_post("/v1/installs/upload", self._upload)
        application.router.add_get(
            "/v1/installs", self._json(lambda: {"jobs": [to_json(j) for j in self.jobs.values()]})
        )
        application.router.add_get("/v1/installs/{job}", self._job)
        application.router.add_get("/v1/installs/{job}/events", self._events)
        application.router.add_get("/v1/shared-address", self._json(lambda: self.shared))
        application.router.add_post("/v1/shared-address", self._enable)
        application.router.add_get("/v1/pair/grant", self._json(lambda: {"grant": to_json(self.grant)}))
        application.router.add_post("/v1/pair/grant", self._grant)
        application.router.add_post("/v1/pair/grant/withdraw", self._withdraw)
        application.router.add_get("/v1/certificates", self._json(lambda: self.certificates))
        application.router.add_post("/v1/certificates/{name}", self._certificate)
        return application

    def _json(self, value: Any) -> Any:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(to_json(value()))

        return answer

    def _refuse(self, status: int, code: str, message: str) -> web.Response:
        return web.json_response({"code": code, "message": message}, status=status)

    async def _note(self, request: web.Request) -> dict[str, Any]:
        body = await request.json()
        self.asked.append((request.method, request.path, body))
        return dict(body)

    async def _check(self, request: web.Request) -> web.Response:
        await self._note(request)
        self.updates = Updates(AT, OFFERS, way=WAY)
        return web.json_response(to_json(self.updates))

    async def _eula(self, request: web.Request) -> web.Response:
        if self.eula is None:
            return self._refuse(404, "not-found", "no package has one")
        return web.json_response(to_json(self.eula))

    async def _accept(self, request: web.Request) -> web.Response:
        body = await self._note(request)
        assert self.eula is not None
        if body["sha256"] != self.eula.sha256:
            return self._refuse(409, "conflict", "the licence agreement has changed; read it again")
        self.eula = replace(self.eula, accepted=True, accepted_by=body["actor"], accepted_at=AT)
        return web.json_response({})

    async def _install(self, request: web.Request) -> web.Response:
        body = await self._note(request)
        if self.eula is not None and not self.eula.accepted:
            return self._refuse(403, "eula-not-accepted", "accept the licence agreement first")
        if not any(offer.target == body["target"] and offer.selectable for offer in self.updates.offers):
            return self._refuse(403, "install-refused", "this package needs another one first")
        self.begin_job()
        return web.json_response({"job": JOB})

    async def _upload(self, request: web.Request) -> web.Response:
        self.upload = await request.read()
        self.asked.append((request.method, request.path, dict(request.query)))
        if self.upload.startswith(b"bad"):
            return self._refuse(422, "damaged", "the file is not a bundle: its signature is missing")
        self.begin_job()
        return web.json_response({"job": JOB})

    async def _job(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.match_info["job"])
        if job is None:
            return self._refuse(404, "not-found", "there is no such install job")
        return web.json_response(to_json(job))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        after, moves, sent = int(request.query["after"]), self._moves, 0
        self.opened_after.append(after)
        response = web.StreamResponse()
        await response.prepare(request)
        self.watching += 1
        try:
            while True:
                changed = self._changed
                assert changed is not None
                for event in self.events[sent:]:
                    sent += 1
                    if event.sequence is None or event.sequence > after or event.kind is EventKind.ENDED:
                        await response.write(json.dumps(to_json(event)).encode() + b"\n")
                    if event.kind is EventKind.ENDED:
                        return response
                if self._moves > moves:
                    moved = InstallEvent(None, EventKind.MOVED, "", "")
                    await response.write(json.dumps(to_json(moved)).encode() + b"\n")
                    return response
                await changed.wait()
        finally:
            self.watching -= 1

    async def _enable(self, request: web.Request) -> web.Response:
        body = await self._note(request)
        state = SharedState.HELD if body["enabled"] else SharedState.DISABLED
        self.shared = replace(self.shared, enabled=body["enabled"], state=state)
        return web.json_response(to_json(self.shared))

    async def _grant(self, request: web.Request) -> web.Response:
        body = await self._note(request)
        self.grant = Grant(body["actor"], AT, AT + timedelta(hours=body["hours"]))
        return web.json_response(to_json(self.grant))

    async def _withdraw(self, request: web.Request) -> web.Response:
        await self._note(request)
        self.grant = None
        return web.json_response({})

    async def _certificate(self, request: web.Request) -> web.Response:
        body = await self._note(request)
        if "BEGIN CERTIFICATE" not in body["pem"]:
            return self._refuse(400, "certificate-refused", "the file holds no certificate")
        return web.json_response(to_json(self.certificates[0]))
