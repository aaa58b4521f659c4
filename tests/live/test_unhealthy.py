"""A new site that crashes, hangs, or answers but fails its probe never gets a socket; the old one is never stopped."""

import pytest

from staffetta.lab.single import Single

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]


@pytest.mark.req("U10", "U17")
@pytest.mark.parametrize(("sickness", "version"), [("crash", "1.0.1"), ("hang", "1.0.2"), ("probe", "1.0.3")])
def test_an_unhealthy_site_is_refused_and_nobody_notices(alpha: Single, sickness: str, version: str) -> None:
    appliance, administrator = alpha.appliance, alpha.administrator
    alpha.publisher.publish_more("site", version, unhealthy=sickness)
    before = appliance.active("site")
    processes = appliance.processes("site", generation=before)
    work = alpha.technician.work_on("computer-1")
    alpha.watch_pages()
    job = administrator.wait_for(administrator.install("site", version))
    assert job["state"] == "undone"
    assert job["error"], "the reason must be named"
    users = alpha.dismiss_users()
    assert {user["name"]: user["failures"] for user in users if user["failed"]} == {}
    session = work.finish(alpha.admin)
    assert (session["ended"], session["lost"], session["doubled"]) == (False, 0, 0)
    assert session["generations"] == [before], "the session had no reason to move"
    assert appliance.active("site") == before
    assert appliance.processes("site", generation=before) == processes
    assert not (appliance.folder / "releases" / "site" / version).exists()
    assert (appliance.folder / "releases" / "site" / "current").resolve().name == "1.0.0"
