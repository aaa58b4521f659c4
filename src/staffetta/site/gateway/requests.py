"""The gateway's plain HTTP: enrolment, the frozen update question, the client bundle, the statement, console sign-in.

Answers and refusals are JSON; a refusal is ``{"code", "message"}`` with the status of its error class.
"""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from aiohttp import web

from staffetta.front.connections import DoorConnection
from staffetta.kernel.errors import StaffettaError
from staffetta.kernel.log import get_logger
from staffetta.site.accounts import service as accounts
from staffetta.site.accounts.errors import SignInRefused
from staffetta.site.data.database import in_database
from staffetta.site.fleet import rollout, updates
from staffetta.site.fleet import service as fleet
from staffetta.site.fleet.bundle import ClientBundle
from staffetta.site.fleet.errors import EnrolmentRefused
from staffetta.site.fleet.rollout import Verdict
from staffetta.site.gateway.settings import GatewaySettings
from staffetta.site.gateway.signing import ELSEWHERE, Signer
from staffetta.wire import enrolment
from staffetta.wire import fields as wire_fields
from staffetta.wire.enrolment import UpdateAction
from staffetta.wire.fields import Key, Size
from staffetta.wire.frames import read_object
from staffetta.wire.vocabulary import ClientMode

_log = get_logger(__name__)

BODY_LIMIT: Final = 64 * 1024
BUNDLE_PATH: Final = "/client/bundle"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class SignIn:
    """The body of POST /console/sign-in; the credential is bound to ``public_key``."""

    username: Annotated[str, Size(1, 256)]
    password: Annotated[str, Size(1, 4096)]
    public_key: Key


class Requests:
    """The handlers, and the routes they stand behind."""

    def __init__(self, signer: Signer, bundle: ClientBundle | None, settings: GatewaySettings) -> None:
        self._signer = signer
        self._bundle = bundle
        self._turn = asyncio.Semaphore(settings.sign_ins_at_once)
        self._asking = asyncio.Semaphore(1)  # a herd's questions must not hold up what sessions have to write

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_get("/client/statement", self.statement)
        app.router.add_get(BUNDLE_PATH, self.bundle)
        app.router.add_post("/client/update", _answering(self.update))
        app.router.add_post("/client/enrol", _answering(self.enrol))
        app.router.add_post("/console/sign-in", _answering(self.sign_in))

    async def statement(self, request: web.Request) -> web.StreamResponse:
        """Say who this is: the newest signed statement."""
        return _json({"statement": self._signer.statement()})

    async def bundle(self, request: web.Request) -> web.StreamResponse:
        """Hand out the client bundle, in ranges if asked."""
        if self._bundle is None:
            return _refusal(404, "no-bundle", "This site's release brings no clients along.")
        return web.FileResponse(self._bundle.path, headers={"Content-Type": "application/octet-stream"})

    async def update(self, request: web.Request) -> web.StreamResponse:
        """Answer "which version should I be?" (format 1, frozen; needs no login)."""
        question = enrolment.from_body(enrolment.UpdateQuestion, await request.read())
        bundle = self._bundle
        asked = updates.Question(question.client, question.kind, question.version, question.failed)
        if self._signer.serves:
            async with self._asking:
                said = await in_database(updates.which_version, asked, None if bundle is None else bundle.version)
        else:
            said = rollout.of_backup(question.version)
        answer = enrolment.UpdateAnswer(
            version=said.version,
            action=UpdateAction.STAY,
            retry_seconds=said.retry_seconds,
            reason=updates.words(said),
        )
        if bundle is not None and said.verdict is Verdict.UPDATE:
            _log.info("a client is told to update", extra={"client": question.client, "version": said.version})
            answer = dataclasses.replace(
                answer, action=UpdateAction.UPDATE, bundle=BUNDLE_PATH, size=bundle.size, sha256=bundle.sha256
            )
        return _json_bytes(enrolment.to_body(answer))

    async def enrol(self, request: web.Request) -> web.StreamResponse:
        """Make a computer with an installer token a Jump Client, known by its key."""
        question = enrolment.from_body(enrolment.EnrolRequest, await request.read())
        question.check(_certificate_shown(request, self._signer))
        if not self._signer.serves:
            return self._elsewhere()
        try:
            async with self._turn:
                client = await in_database(
                    fleet.enrol,
                    question.token,
                    question.public_key,
                    question.name,
                    dict(question.platform),
                    None if question.mode is None else question.mode is ClientMode.PASSIVE,
                )
        except EnrolmentRefused as error:
            return _refusal(error.http_status, error.reason, error.message)
        _log.info("client enrolled", extra={"client": client.id})
        mode = ClientMode.PASSIVE if client.passive else ClientMode.ACTIVE
        answer = enrolment.EnrolAnswer(client.id, client.name, self._signer.statement(), mode=mode)
        return _json_bytes(enrolment.to_body(answer))

    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Give a rep's console a credential for its key; throttled like the page."""
        body = wire_fields.read(SignIn, read_object(await request.read()))
        if not self._signer.serves:
            return self._elsewhere()
        try:
            async with self._turn:
                rep = await in_database(
                    accounts.authenticate_console, body.username, body.password, request.remote or ""
                )
        except SignInRefused as error:
            refusal = _refusal(error.http_status, error.reason, error.message)
            if error.retry_seconds is not None:
                refusal.headers["Retry-After"] = str(error.retry_seconds)
            return refusal
        credential = self._signer.credential(rep.id, rep.name, body.public_key, rep.consoles_since)
        return _json(
            {
                "credential": credential,
                "rep": {"id": rep.id, "name": rep.name, "permissions": sorted(rep.permissions)},
            }
        )

    def _elsewhere(self) -> web.Response:
        """A backup enrols nobody and signs nobody in: the primary's own address comes first in this statement."""
        message = "This appliance is the backup of its pair; ask the primary."
        return _json({"code": ELSEWHERE, "message": message, "statement": self._signer.pointer()}, 409)


def _answering(handler: Handler) -> Handler:
    """Turn an error of ours into its JSON answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except StaffettaError as error:
            return _refusal(error.http_status, error.code, error.message)

    return answer


def _certificate_shown(request: web.Request, signer: Signer) -> bytes:
    protocol = request.protocol
    return bytes.fromhex(protocol.certificate) if isinstance(protocol, DoorConnection) else signer.certificate()


def _refusal(status: int, code: str, message: str) -> web.Response:
    return _json({"code": code, "message": message}, status)


def _json(value: dict[str, Any], status: int = 200) -> web.Response:
    return _json_bytes(json.dumps(value).encode(), status)


def _json_bytes(body: bytes, status: int = 200) -> web.Response:
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)
