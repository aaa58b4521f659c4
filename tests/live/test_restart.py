"""The machine's own restart: everything comes up by itself, and the session goes on."""

import os
import signal

import pytest

from staffetta.lab.single import Single
from staffetta.lab.world import wait_until

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@pytest.mark.req("U10", "S1")
def test_after_a_restart_everything_comes_up_and_the_session_goes_on(alpha: Single) -> None:
    appliance = alpha.appliance
    work = alpha.technician.work_on("computer-2")
    before = {program: appliance.active(program) for program in ("base", "site")}
    victims = [appliance.keeper().process.pid, *appliance.processes("base"), *appliance.processes("site")]
    for pid in victims:  # all at once, as when the power goes; the world starts keeper again, as systemd does
        os.kill(pid, signal.SIGKILL)
    wait_until("the session to be resumed", lambda: any(note["event"] == "resumed" for note in work.noted()), 150)
    session = work.finish(alpha.admin)
    assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
    assert session["recording"] == "complete"
    assert all(appliance.active(program) != generation for program, generation in before.items())
