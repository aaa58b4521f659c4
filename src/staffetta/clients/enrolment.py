"""How a computer becomes a Jump Client: the pasted token, the site proven, a key of its own, the client's id."""

from dataclasses import dataclass
from pathlib import Path

from staffetta.clients import installed
from staffetta.clients.errors import ClientError, UnreadableAnswer
from staffetta.clients.installed import SiteFacts, platform_facts, running_version
from staffetta.clients.runtime.network import Network, Peer
from staffetta.clients.state_directory import StateDirectory
from staffetta.kernel.errors import Conflict, InvalidInput
from staffetta.wire.addresses import AddressBook
from staffetta.wire.enrolment import (
    LINE_PREFIX,
    EnrolAnswer,
    InstallerToken,
    from_body,
    make_enrol_request,
    parse_installer_token,
    to_body,
)
from staffetta.wire.errors import FrameError
from staffetta.wire.vocabulary import ClientMode

ENROL_PATH = "/client/enrol"


class AlreadyEnrolled(ClientError):
    """This folder already holds a Jump Client."""

    code = "already-enrolled"
    http_status = Conflict.http_status
    exit_status = Conflict.exit_status


class BadToken(ClientError):
    """What was pasted is no whole installer token."""

    code = "bad-token"
    http_status = InvalidInput.http_status
    exit_status = InvalidInput.exit_status


def token_in(text: str) -> InstallerToken:
    """Read a pasted installer token. Raises BadToken."""
    try:
        return parse_installer_token(text)
    except FrameError:
        raise BadToken(
            f"This is no whole installer token. It is one line that starts with {LINE_PREFIX}; copy the whole line."
        ) from None


def check_free(root: Path) -> StateDirectory:
    """Return the state folder, made if need be. Raises AlreadyEnrolled if a client lives there."""
    state = StateDirectory(root)
    state.create()
    if state.exists(installed.CLIENT_FILE):
        client = installed.load(root)
        raise AlreadyEnrolled(
            f"{root} already holds the Jump Client {client.name!r} ({client.id}); use another --state for a new one."
        )
    return state


def network_for(token: InstallerToken) -> tuple[Network, AddressBook]:
    """Return the way to the site that a token names."""
    book = AddressBook(token.site_key, token.addresses, token.statement)
    return Network(book, lambda _: None), book


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Who the site says this computer is: a client's id, and the mode to be in."""

    client: str
    mode: ClientMode


async def enrol(
    state: StateDirectory, text: str, token: InstallerToken, name: str, mode: ClientMode | None = None
) -> Enrolled:
    """Enrol with the token's one line, in this mode (None: the token decides); stores and returns who the client is.

    Raises WrongSite before the secret is sent, SiteRefused for a token that is expired or used up.
    """
    key = state.key_or_new(installed.KEY_FILE)
    network, book = network_for(token)
    async with network:

        def request(peer: Peer) -> bytes:
            line = "".join(text.split())
            request = make_enrol_request(line, key, peer.certificate, name, running_version(), platform_facts(), mode)
            return to_body(request)

        body = await network.ask_primary(ENROL_PATH, await network.trusted_peer(), request)
        try:
            answer = from_body(EnrolAnswer, body)
        except FrameError as error:
            raise UnreadableAnswer(f"The site's answer to the enrolment is not readable: {error.message}") from None
        network.adopt(answer.statement)
    site = SiteFacts(token.site_key, token.addresses, book.token)
    installed.store_mode(state, answer.mode)
    installed.store(state, answer.client, answer.name, site)
    return Enrolled(answer.client, answer.mode)
