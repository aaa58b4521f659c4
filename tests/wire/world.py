"""Two ends, the relays of several gateway generations and the links between them, with every queue in the open.

Nothing here decides: the ends are ``wire.resume.SessionEnd``, the relays ``site.support.relay.Relay``. A link is two
queues; cutting it loses what is in them, and each side notices when the test says so.
"""

from collections import deque
from dataclasses import dataclass, field

from staffetta.site.support import relay as relays
from staffetta.wire import frames, messages, outcomes, resume
from staffetta.wire.errors import CloseCode
from staffetta.wire.vocabulary import EndName

SESSION = "session-1"
LIMITS = resume.Limits(payload=8, window=64, hold=400, reserve=100)
CHANNELS = (0, 1, 2)


@dataclass
class Link:
    """One connection of one end to one relay."""

    number: int
    end: EndName
    counter: int
    gateway: "Gateway"
    up: deque[bytes | None] = field(default_factory=deque)  # None: the attach
    down: deque[bytes] = field(default_factory=deque)
    cut: bool = False
    relay_done: bool = False  # the relay knows that it is over
    end_done: bool = False  # the end knows, or has closed it: what is on its way up still arrives
    copied: bool = False
    relay_closed: int | None = None  # closed by the relay: what is on its way still arrives


class Gateway:
    """One gateway process: a relay and the links to it."""

    def __init__(self, world: "World", number: int) -> None:
        self.world = world
        self.relay = relays.Relay(f"site-{number}", "1.0", 1)

    def handle(self, event: relays.Event) -> None:
        for command in self.relay.handle(event):
            match command:
                case relays.Send(connection, message):
                    link = self.world.links[connection]
                    assert link.relay_closed is None, "a command for a connection that was closed"
                    if not link.cut:
                        link.down.append(message)
                case relays.Close(connection, code, _):
                    self.world.links[connection].relay_closed = code
                case relays.Record(_, end, message):
                    self.world.recorded.append((end, message))
                case relays.Present(_, end, True, counter):
                    assert counter > self.world.highest.get(end, 0), "a fenced counter was let in"
                    self.world.highest[end] = counter
                case _:
                    pass


class Party:
    """One end with its application: what it has written, what has arrived, what it has not taken yet."""

    def __init__(self, name: EndName) -> None:
        self.end = resume.SessionEnd(name, LIMITS)
        self.written: dict[int, bytearray] = {channel: bytearray() for channel in CHANNELS}
        self.arrived: dict[int, bytearray] = {channel: bytearray() for channel in CHANNELS}
        self.next: dict[int, int] = dict.fromkeys(CHANNELS, 0)
        self.waiting: deque[outcomes.Arrived] = deque()
        self.move_asked = False
        self.closes: list[int] = []
        self.at = 0

    def events(self, events: list[outcomes.Event]) -> None:
        for event in events:
            match event:
                case outcomes.Arrived(channel, sequence, _, payload):
                    assert sequence == self.next[channel], f"{sequence} on {channel}, after {self.next[channel] - 1}"
                    self.next[channel] += 1
                    self.arrived[channel] += payload
                    self.waiting.append(event)
                    unread = sum(len(a.payload) + frames.DATA_HEADER for a in self.waiting if a.channel == channel)
                    assert unread <= LIMITS.window, f"{unread} bytes unread on {channel}"
                case outcomes.MoveAsked():
                    self.move_asked = True
                case outcomes.SessionOver(reason):
                    raise AssertionError(f"the session was given up: {reason}")
                case _:
                    pass


class World:
    """All of it; every method is one thing that may happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self.links: dict[int, Link] = {}
        self.highest: dict[EndName, int] = {}
        self.recorded: list[tuple[EndName, bytes]] = []
        self.parties = {name: Party(name) for name in EndName}
        self.gateways = [Gateway(self, 0)]
        self.fenced_attaches = 0

    # -- what may happen -----------------------------------------------------------------------------------------

    def write(self, name: EndName, channel: int, payload: bytes) -> None:
        party = self.parties[name]
        payload = payload[: party.end.room(channel)]
        party.at += 1
        party.end.send(channel, payload, party.at)
        party.written[channel] += payload
        self.flush(name)

    def dial(self, name: EndName, gateway: int = -1) -> Link:
        end = self.parties[name].end
        link = self._link(name, end.dial(), gateway)
        link.up.append(None)
        return link

    def attach_again(self, link: Link) -> None:
        """Somebody sends the same attach once more, on a connection of its own."""
        where = self.gateways.index(link.gateway) if link.gateway in self.gateways else -1
        copy = self._link(link.end, link.counter, where)
        copy.copied = True
        copy.end_done = True
        copy.up.append(None)

    def _link(self, name: EndName, counter: int, gateway: int) -> Link:
        link = Link(len(self.links), name, counter, self.gateways[gateway])
        self.links[link.number] = link
        return link

    def deliver_up(self, link: Link) -> None:
        if link.cut or link.relay_done or not link.up:
            return
        message = link.up.popleft()
        if message is None:
            highest = self.highest.get(link.end, 0)
            stale = link.counter <= highest
            link.gateway.handle(
                relays.Attached(SESSION, link.end, link.number, link.counter, "ticket", True, highest=highest)
            )
            assert stale == (link.relay_closed == CloseCode.FENCED)
            self.fenced_attaches += stale
        else:
            link.gateway.handle(relays.Frame(link.number, message))
        if link.end_done and not link.up:
            self.relay_notices(link)

    def deliver_down(self, link: Link) -> None:
        if link.cut or link.end_done:
            return
        party = self.parties[link.end]
        if link.down:
            party.events(party.end.receive(link.counter, link.down.popleft(), self.now))
            self.flush(link.end)
        elif link.relay_closed is not None:
            party.closes.append(link.relay_closed)
            self.end_notices(link)

    def consume(self, name: EndName, count: int) -> None:
        party = self.parties[name]
        for _ in range(min(count, len(party.waiting))):
            party.end.consumed(party.waiting.popleft())
        self.flush(name)

    def cut(self, link: Link) -> None:
        link.cut = True
        link.up.clear()
        link.down.clear()

    def relay_notices(self, link: Link) -> None:
        if not link.relay_done:
            link.relay_done = True
            link.gateway.handle(relays.Lost(link.number))

    def end_notices(self, link: Link) -> None:
        if not link.end_done:
            link.end_done = True
            if not link.up and not link.cut:
                self.relay_notices(link)
            self.parties[link.end].end.lost(link.counter)

    def start_gateway(self) -> None:
        """A new generation starts beside the others."""
        self.gateways.append(Gateway(self, len(self.gateways)))

    def kill_gateway(self, index: int) -> None:
        """Its process dies with all it knew; another takes its place."""
        gone = self.gateways[index]
        for link in self.links.values():
            if link.gateway is gone:
                self.cut(link)
                link.relay_done = True
        self.gateways[index] = Gateway(self, index + 100)

    def move(self, index: int) -> None:
        self.gateways[index].handle(relays.Moved(messages.Move(1, "statement", "update")))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for name, party in self.parties.items():
            party.events(party.end.tick(self.now))
            self.flush(name)

    # -- the network ---------------------------------------------------------------------------------------------

    def flush(self, name: EndName) -> None:
        """Carry out what an end asks for, and look at its promises."""
        party = self.parties[name]
        for output in party.end.take():
            link = next(
                link
                for link in self.links.values()
                if link.end is name and link.counter == output.connection and not link.copied
            )
            match output:
                case outcomes.Send(_, message):
                    if not link.cut and not link.end_done:
                        link.up.append(message)
                case outcomes.Close():
                    link.end_done = True
                    if not link.up and not link.cut:
                        self.relay_notices(link)
        held = party.end.held
        assert held.bytes <= LIMITS.hold, f"{held.bytes} bytes kept"

    def open_links(self) -> list[Link]:
        return [link for link in self.links.values() if not (link.relay_done and link.end_done)]

    def settle(self, rounds: int = 400) -> None:
        """From now on nothing breaks: every byte must arrive, in a number of rounds that a deadlock exceeds."""
        for link in self.open_links():
            if link.cut:
                self.relay_notices(link)
                self.end_notices(link)
        for name in EndName:
            self.dial(name)
        for _ in range(rounds):
            for link in self.open_links():
                while link.up and not link.cut and not link.relay_done:
                    self.deliver_up(link)
                if link.end_done and not link.cut:
                    self.relay_notices(link)
                while not link.cut and not link.end_done and (link.down or link.relay_closed is not None):
                    self.deliver_down(link)
            for name in EndName:
                self.consume(name, 1000)
            self.pass_time(1.0)
            if self.all_arrived():
                return
        raise AssertionError(f"not everything arrived in {rounds} rounds: {self.missing()}")

    def missing(self) -> dict[tuple[str, int], tuple[int, int]]:
        return {
            (name.value, channel): (len(party.written[channel]), len(self.parties[name.peer].arrived[channel]))
            for name, party in self.parties.items()
            for channel in CHANNELS
            if party.written[channel] != self.parties[name.peer].arrived[channel]
        }

    def all_arrived(self) -> bool:
        return not self.missing()

    def check_prefixes(self) -> None:
        for name, party in self.parties.items():
            for channel in CHANNELS:
                arrived = self.parties[name.peer].arrived[channel]
                assert party.written[channel].startswith(arrived), f"{name} {channel}: wrong bytes"
