"""Whatever happens to connections and gateways, every byte of every channel arrives exactly once and in order."""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from staffetta.wire.vocabulary import EndName

from .world import CHANNELS, World

ends = st.sampled_from(list(EndName))


class ResumeMachine(RuleBasedStateMachine):
    """One thing after the other, in any order; at the end the network holds, and all must have arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def _pick(self, number: int):
        links = self.world.open_links()
        return links[number % len(links)]

    @initialize()
    def both_dial(self) -> None:
        for name in EndName:
            self.world.dial(name)
        for link in self.world.open_links():
            self.world.deliver_up(link)

    @rule(name=ends, channel=st.sampled_from(CHANNELS), payload=st.binary(min_size=1, max_size=60))
    def write(self, name, channel, payload) -> None:
        self.world.write(name, channel, payload)

    @rule(name=ends, gateway=st.integers(0, 5))
    def dial(self, name, gateway) -> None:
        self.world.dial(name, gateway % len(self.world.gateways))

    @precondition(lambda self: self.world.open_links())
    @rule(number=st.integers(0, 20), count=st.integers(1, 12))
    def deliver_up(self, number, count) -> None:
        link = self._pick(number)
        for _ in range(count):
            self.world.deliver_up(link)

    @precondition(lambda self: self.world.open_links())
    @rule(number=st.integers(0, 20), count=st.integers(1, 12))
    def deliver_down(self, number, count) -> None:
        link = self._pick(number)
        for _ in range(count):
            self.world.deliver_down(link)

    @rule(count=st.integers(1, 6))
    def deliver_everything(self, count) -> None:
        for _ in range(count):
            for link in self.world.open_links():
                self.world.deliver_up(link)
                self.world.deliver_down(link)

    @rule(name=ends, count=st.integers(1, 8))
    def consume(self, name, count) -> None:
        self.world.consume(name, count)

    @precondition(lambda self: self.world.open_links())
    @rule(number=st.integers(0, 20), relay_first=st.booleans(), both=st.booleans())
    def cut(self, number, relay_first, both) -> None:
        link = self._pick(number)
        self.world.cut(link)
        if relay_first or both:
            self.world.relay_notices(link)
        if not relay_first or both:
            self.world.end_notices(link)

    @precondition(lambda self: self.world.open_links())
    @rule(number=st.integers(0, 20))
    def attach_again(self, number) -> None:
        self.world.attach_again(self._pick(number))

    @rule(name=ends, gateway=st.integers(0, 5), loss=st.integers(0, 3))
    def reconnect(self, name, gateway, loss) -> None:
        """An end loses its connection and is back at once; its peer has not heard of it yet."""
        world = self.world
        for link in world.open_links():
            if link.end is name:
                for _ in range(loss):
                    world.deliver_up(link)
                    world.deliver_down(link)
                world.cut(link)
                world.end_notices(link)
        world.deliver_up(world.dial(name, gateway % len(world.gateways)))

    @rule(
        name=ends, channel=st.sampled_from(CHANNELS), payloads=st.lists(st.binary(min_size=1, max_size=9), max_size=5)
    )
    def talk(self, name, channel, payloads) -> None:
        """Bytes reach the relays and the connections behind them, where a cut may still lose them."""
        for payload in payloads:
            self.world.write(name, channel, payload)
            for link in self.world.open_links():
                if link.end is name:
                    self.world.deliver_up(link)

    @rule(index=st.integers(0, 5))
    def kill_gateway(self, index) -> None:
        self.world.kill_gateway(index % len(self.world.gateways))

    @precondition(lambda self: len(self.world.gateways) < 3)
    @rule()
    def start_gateway(self) -> None:
        self.world.start_gateway()

    @rule(index=st.integers(0, 5))
    def move(self, index) -> None:
        self.world.move(index % len(self.world.gateways))

    @rule(name=ends, gateway=st.integers(0, 5))
    def follow_a_move(self, name, gateway) -> None:
        party = self.world.parties[name]
        if party.move_asked:
            party.move_asked = False
            self.world.dial(name, gateway % len(self.world.gateways))

    @rule(seconds=st.sampled_from([0.3, 1.0, 2.5]))
    def pass_time(self, seconds) -> None:
        self.world.pass_time(seconds)

    @invariant()
    def only_what_was_written_arrives(self) -> None:
        self.world.check_prefixes()

    def teardown(self) -> None:
        self.world.settle()
        self.world.check_prefixes()


ResumeMachine.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.mark.req("U9", "S1")
class TestResume(ResumeMachine.TestCase):
    """Collected by pytest under a name of its own."""
