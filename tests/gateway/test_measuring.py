"""What a real gateway tells base in numbers: who is there, how often ends came back, and what its door answered."""

import pytest

from gateway.test_sessions import join
from gateway.world import World
from staffetta.control.measures import FleetMeasures
from staffetta.control.private import measures
from staffetta.wire import messages


@pytest.mark.req("C5", "U11")
async def test_a_gateway_counts_what_goes_on(world: World) -> None:
    gateway = await world.gateway()
    opened = await world.opened()
    ends = await join(world, opened)
    place = gateway._environment.run / "private.sock"
    before = await measures(place)
    assert (before.role, before.sessions_live, before.pair) == ("alone", 1, None)
    assert before.pauses.resumed == 0, "a first attach is no resume"
    again = await world.attach(opened.console_ticket, 5, opened.rep.key)
    assert isinstance(await again.hear(), messages.Attached)
    refused = await world.attach(opened.console_ticket, 4, opened.rep.key)
    await refused.close_code()
    after = await measures(place)
    assert (after.pauses.resumed, sum(after.pauses.counts)) == (1, 1)
    answers = {one.status_class: one.count for one in after.answers}
    assert answers[1] >= 4, "each end that attached is a WebSocket"
    fleet = after.fleet
    assert fleet.enrolled >= 1, "its tests share a database"
    assert fleet == FleetMeasures(fleet.enrolled, fleet.online, 0, 0), "a site that brings no clients has none behind"
    assert after.connections >= len(ends)
    assert 0 <= after.loop_lag_seconds < 60
