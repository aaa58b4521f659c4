"""The list of Jump Clients that a console asks for, in as many messages as it needs."""

from collections.abc import Sequence
from typing import Final

from staffetta.wire import fields as wire_fields
from staffetta.wire import frames, messages

_ROOM: Final = frames.MAX_MESSAGE - 128


def pages_of_clients(request: int, clients: Sequence[messages.ListedClient]) -> tuple[bytes, ...]:
    """The answer to ``list`` in as many messages as it needs, each within the size of a message; at least one."""
    pages: list[list[messages.ListedClient]] = [[]]
    room = _ROOM
    for client in clients:
        size = len(frames.encode(frames.Control("row", wire_fields.write(client))))
        if size > room and pages[-1]:
            pages.append([])
            room = _ROOM
        pages[-1].append(client)
        room -= size
    return tuple(messages.encode(messages.Clients(request, tuple(page), more=page is not pages[-1])) for page in pages)
