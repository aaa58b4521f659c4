"""A pair job over two real sites: their processes, link, databases and workers; base is stood in for (F7, F8, F9)."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from site_failover.base_stand_in import NEW, BaseStandIn
from site_failover.conftest import Pair
from site_failover.two_sites import OneSite, wait_until
from staffetta.control.pairing import SharedState

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]  # the live story does it with the real base

PROCESSES = ("web", "gateway", "worker")


@dataclass
class Upgrade:
    """The two sites with what stands in for their bases."""

    a: OneSite
    b: OneSite
    base_a: BaseStandIn
    base_b: BaseStandIn

    def job(self, site: OneSite) -> dict[str, Any]:
        """The newest job as one of them knows it."""
        done = site.command("jobs", "--json")
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found[0] if found else {"state": "none", "step": "none", "sentence": ""}

    def wait(self, site: OneSite, *states: str, seconds: float = 120.0) -> dict[str, Any]:
        """Wait until the job is in one of these states there."""
        try:
            wait_until(lambda: self.job(site)["state"] in states, seconds)
        except AssertionError:
            raise AssertionError(json.dumps(self.job(site), indent=1)) from None
        return self.job(site)


def swing_records(site: OneSite) -> list[tuple[Any, ...]]:
    """When this site's role changed, and how."""
    return site.rows(
        "select at, json_extract(body, '$.action') from data_record where kind = 'audit' and "
        "(body like '%stepped-down%' or body like '%became-primary%') order by at"
    )


def ends_told(site: OneSite, job: str) -> list[tuple[Any, ...]]:
    """What this site's audit log has of how the job ended, once it has: where it did not, that comes by data-sync."""
    query = (
        "select action, json_extract(detail, '$.site'), json_extract(detail, '$.why') from management_auditentry "
        f"where actor = 'pair job {job}' and action like 'failover.upgrade-%' order by at"
    )
    wait_until(lambda: bool(site.rows(query)), 60)
    return site.rows(query)


def start(site: OneSite) -> None:
    for name in PROCESSES:
        site.start(name)


def restart(site: OneSite) -> None:
    """What keeper does for an update, with a gap: the site's processes are replaced by those of its version."""
    for name in tuple(site.running):
        site.stop(name)
    start(site)


@pytest.fixture
def upgrade(sites: Pair) -> Iterator[Upgrade]:
    """An established pair, synced, with a newer base and site on offer on both."""
    base_a = BaseStandIn(sites.a, SharedState.HELD, restart)
    base_b = BaseStandIn(sites.b, SharedState.RELEASED, restart)
    base_a.other, base_b.other = base_b, base_a
    start(sites.a)
    start(sites.b)
    key = sites.a.command("key", "--generate").stdout.strip()
    sites.b.set_key(key)
    sites.establish()
    wait_until(lambda: sites.a.heard() and sites.b.heard())
    pull = "from staffetta.site.failover.sync import service as sync\nwith service.peer() as peer:\n    sync.pull(peer)"
    sites.a.do(pull)
    sites.b.do(pull)
    yield Upgrade(sites.a, sites.b, base_a, base_b)
    base_a.close()
    base_b.close()


@pytest.mark.req("F7", "F8", "F9", "U9")
def test_a_pair_of_real_sites_is_upgraded(upgrade: Upgrade) -> None:
    a, b = upgrade.a, upgrade.b
    checked = a.command("upgrade", "--asynchronous", "--check")
    assert checked.returncode == 0 and "FAILED" not in checked.stdout, checked.stdout + checked.stderr
    assert len(upgrade.base_a.checks) == len(upgrade.base_b.checks) == 1, "both asked the update server first"
    done = a.command("upgrade", "--asynchronous")
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Finished" in done.stdout
    job = upgrade.wait(b, "finished")
    assert (a.role()[0], b.role()[0]) == ("backup", "primary")
    assert a.role()[1] == b.role()[1] == 3
    assert (a.version, b.version, upgrade.base_a.base, upgrade.base_b.base) == (NEW,) * 4
    assert [one["name"] for one in job["steps"] if one["state"] == "done"][-1] == "release-clients"
    assert all(one["evidence"] and one["seconds"] is not None for one in job["steps"])
    assert (upgrade.base_a.phases, upgrade.base_b.phases) == (["hold", "leave"], ["join", "turn", "settle"])
    print("swing:", swing_records(a), swing_records(b))
    swing = next(one for one in job["steps"] if one["name"] == "swing")
    assert f"127.0.0.1:{b.port} is answered by {job['b']}, 10 times of 10" in swing["evidence"]
    assert b.rows("select suspended_by from failover_pairhold") == [("",)]
    for site in (a, b):
        assert ends_told(site, job["id"]) == [("failover.upgrade-finished", NEW, None)]


@pytest.mark.req("F7")
def test_a_release_that_is_unhealthy_on_the_backup_and_a_killed_worker_leave_everything_as_before(
    upgrade: Upgrade,
) -> None:
    a, b = upgrade.a, upgrade.b
    upgrade.base_b.undo.add("site")
    begun = a.command("upgrade", "--asynchronous", "--no-watch")
    assert begun.returncode == 0, begun.stdout + begun.stderr
    refused = a.command("upgrade", "--asynchronous", "--no-watch")
    assert refused.returncode == 5 and "under way" in refused.stderr
    wait_until(lambda: upgrade.job(b)["step"] not in ("none", "preflight", "backup"), 60)
    for site in (a, b):
        site.stop("worker", signal.SIGKILL)
        site.start("worker")
    watched = b.command("watch")
    assert watched.returncode == 5 and "unhealthy" in watched.stderr, watched.stdout + watched.stderr
    job = upgrade.wait(a, "undone")
    assert job == upgrade.job(b)
    assert (a.role(), b.role()) == (("primary", 2), ("backup", 2))
    assert (a.version, b.version, upgrade.base_b.base) == ("1.0.0", "1.0.0", NEW)
    for site in (a, b):
        assert site.rows("select suspended_by, frozen_by from failover_pairhold") == [("", "")]
        assert site.rows("select held from fleet_rollout") == [("",)]
    for site in (a, b):
        ((action, version, why),) = ends_told(site, job["id"])
        assert (action, version) == ("failover.upgrade-undone", NEW) and "unhealthy" in why
    assert (upgrade.base_a.shared, upgrade.base_b.shared) == (SharedState.HELD, SharedState.RELEASED)
    assert [path.stat().st_mode & 0o777 for path in (a.paths.site / "backups").iterdir()] == [0o600]
