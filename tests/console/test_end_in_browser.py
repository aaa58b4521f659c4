"""The end in the browser against the end in Python: whatever happens, every byte arrives exactly once and in order."""

import random
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from console.browser_end import BrowserEnd
from console.conftest import bench_at
from console.modules import served
from staffetta.wire.vocabulary import EndName
from wire.world import CHANNELS, LIMITS, World

pytestmark = [pytest.mark.live, pytest.mark.browser, pytest.mark.req("S1"), pytest.mark.timeout(900)]

HISTORIES, STEPS = 30, 150
RULES = {
    "replay": ("end.js", "replayed += outgoing.rewind(expect.get(channel) ?? 0);", ""),
    "take in order": ("end.js", "if (frame.sequence !== incoming.expect) return [];", ""),
    "hold until sync": ("end.js", "this.flowing = false;\n    if (!present", "if (!present"),
    "tell what you have": ("end.js", "if (!present || this.current === null) return;", "return;"),
    "keep": ("channel.js", "while (this.base < next)", "while (this.base < this.cursor)"),
    "flow": ("channel.js", "if (this.inFlight + message.length > window) return null;", ""),
    "come back from a reload": ("channel.js", "this.expect = this.taken;", "this.expect = this.taken + 1;"),
}


class History:
    """Two ends, the console's being the browser's, and what may happen to them, drawn from a seed."""

    def __init__(self, page: Page, seed: int) -> None:
        self.world = World()
        self.console = BrowserEnd(page, LIMITS)
        self.world.parties[EndName.CONSOLE].end = self.console  # type: ignore[assignment]
        self.chance = random.Random(seed)
        for name in EndName:
            self.world.dial(name)
        self.deliver()

    def run(self, steps: int) -> None:
        """So many things happen; from then on nothing breaks, and everything must have arrived."""
        happenings: list[tuple[int, Callable[[], None]]] = [
            (30, self.talk),
            (25, self.deliver),
            (15, self.consume),
            (8, self.reconnect),
            (5, self.reload),
            (5, self.dial),
            (4, self.cut),
            (3, self.move),
            (2, self.kill),
            (2, self.attach_again),
            (6, self.pass_time),
        ]
        weights = [weight for weight, _ in happenings]
        for _ in range(steps):
            self.chance.choices(happenings, weights)[0][1]()
            self.world.check_prefixes()
        self.world.settle()
        self.world.check_prefixes()

    def end(self) -> EndName:
        return self.chance.choice(list(EndName))

    def talk(self) -> None:
        name = self.end()
        for _ in range(self.chance.randint(1, 4)):
            self.world.write(name, self.chance.choice(CHANNELS), self.chance.randbytes(self.chance.randint(1, 40)))
        if self.chance.random() < 0.5:  # it reaches the relay, and the connections behind it
            for link in self.world.open_links():
                if link.end is name:
                    self.world.deliver_up(link)

    def deliver(self) -> None:
        for _ in range(self.chance.randint(1, 4)):
            for link in self.world.open_links():
                self.world.deliver_up(link)
                self.world.deliver_down(link)

    def consume(self) -> None:
        self.world.consume(self.end(), self.chance.randint(1, 8))

    def reconnect(self) -> None:
        """An end's connections are gone, with what was on them, and it is back; its peer may not have heard yet."""
        name = self.end()
        self._drop_links(name)
        link = self.world.dial(name, self._gateway())
        for _ in range(self.chance.randint(0, 3)):
            self.world.deliver_up(link)
            self.world.deliver_down(link)

    def reload(self) -> None:
        """The console's page is loaded again: what had arrived and was not taken is not there any more."""
        party = self.world.parties[EndName.CONSOLE]
        self._drop_links(EndName.CONSOLE)
        for channel in CHANNELS:
            dropped = [one for one in party.waiting if one.channel == channel]
            size = sum(len(one.payload) for one in dropped)
            party.arrived[channel] = party.arrived[channel][: len(party.arrived[channel]) - size]
            party.next[channel] -= len(dropped)
        party.waiting.clear()
        self.console.reload()
        self.world.flush(EndName.CONSOLE)
        self.world.deliver_up(self.world.dial(EndName.CONSOLE, self._gateway()))

    def dial(self) -> None:
        """A new connection beside the old: make before break."""
        self.world.dial(self.end(), self._gateway())

    def cut(self) -> None:
        links = self.world.open_links()
        if links:
            link = self.chance.choice(links)
            self.world.cut(link)
            for notices in self.chance.sample([self.world.relay_notices, self.world.end_notices], 2):
                if self.chance.random() < 0.7:
                    notices(link)

    def move(self) -> None:
        self.world.move(self._gateway())

    def kill(self) -> None:
        if len(self.world.gateways) < 3 and self.chance.random() < 0.5:
            self.world.start_gateway()
        else:
            self.world.kill_gateway(self._gateway())

    def attach_again(self) -> None:
        links = self.world.open_links()
        if links:
            self.world.attach_again(self.chance.choice(links))

    def pass_time(self) -> None:
        self.world.pass_time(self.chance.choice([0.3, 1.0, 2.5]))

    def _gateway(self) -> int:
        return self.chance.randrange(len(self.world.gateways))

    def _drop_links(self, name: EndName) -> None:
        for link in self.world.open_links():
            if link.end is name:
                for _ in range(self.chance.randint(0, 3)):
                    self.world.deliver_up(link)
                    self.world.deliver_down(link)
                self.world.cut(link)
                self.world.end_notices(link)


@pytest.mark.parametrize("first", range(0, HISTORIES, 10))
def test_every_byte_arrives_once_and_in_order(bench: Page, first: int) -> None:
    for seed in range(first, first + 10):
        History(bench, seed).run(STEPS)


@pytest.fixture(params=RULES)
def lacking(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[Page]:
    """A page with an end that lacks one rule."""
    name, old, new = RULES[request.param]
    with served({name: (old, new)}) as address:
        page = bench_at(chromium, address)
        yield page
        page.close()


def test_a_rule_that_is_missing_is_noticed(lacking: Page) -> None:
    with pytest.raises(AssertionError):
        for seed in range(HISTORIES):
            History(lacking, seed).run(STEPS)
