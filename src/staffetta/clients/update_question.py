"""Asking the site which version to be: the frozen question (C4, U12). It needs no login; nothing in it is secret."""

from staffetta.clients.errors import UnreadableAnswer
from staffetta.clients.runtime.network import Network
from staffetta.wire.enrolment import UpdateAnswer, UpdateQuestion, from_body, to_body
from staffetta.wire.errors import FrameError

UPDATE_PATH = "/client/update"


async def ask(network: Network, question: UpdateQuestion) -> UpdateAnswer:
    """Ask once. Raises SiteUnreachable, WrongSite, UnreadableAnswer."""
    body = await network.request("POST", UPDATE_PATH, await network.trusted_peer(), to_body(question))
    try:
        return from_body(UpdateAnswer, body)
    except FrameError as error:
        raise UnreadableAnswer(f"The site's answer to the update question is not readable: {error.message}") from None
