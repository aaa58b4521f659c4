"""A playbook: events given to a relay one after the other, and the commands that must follow, in order."""

from staffetta.site.support import relay
from staffetta.wire import frames, messages
from staffetta.wire.vocabulary import EndName

SESSION = "session-1"
CONSOLE = EndName.CONSOLE
CLIENT = EndName.JUMP_CLIENT


class Playbook:
    """``play(event, command, command…)`` fails unless exactly these commands come."""

    def __init__(self) -> None:
        self.relay = relay.Relay("site-9", "2.0", 3)

    def play(self, event: relay.Event, *commands: relay.Command) -> "Playbook":
        assert tuple(self.relay.handle(event)) == commands
        return self

    def both_attached(self, recorded: bool = False) -> "Playbook":
        """Connection 1 is the console's, 2 the Jump Client's."""
        self.relay.handle(attach(1, CONSOLE, 1, recorded=recorded))
        self.relay.handle(attach(2, CLIENT, 1, recorded=recorded))
        return self


def attach(connection: int, end: EndName, counter: int, *, recorded: bool = False, highest: int = 0) -> relay.Attached:
    return relay.Attached(SESSION, end, connection, counter, f"ticket-{connection}", recorded, highest)


def attached(connection: int, peer: bool, recorded: bool = False) -> relay.Send:
    answer = messages.Attached(SESSION, "site-9", "2.0", f"ticket-{connection}", 3, peer, recorded)
    return relay.Send(connection, messages.encode(answer))


def peer(connection: int, present: bool, counter: int) -> relay.Send:
    return relay.Send(connection, messages.encode(messages.Peer(present, counter)))


def present(end: EndName, is_present: bool, counter: int) -> relay.Present:
    return relay.Present(SESSION, end, is_present, counter)


def data(sequence: int, payload: bytes = b"ls\n", channel: int = 1) -> bytes:
    return frames.encode(frames.Data(channel, sequence, 1000 * sequence, payload))
