"""Checking for updates and judging packages: a real publisher and update server, real clocks that are wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from releases.served import served
from staffetta.base.errors import ClockWrong, EulaNotAccepted, InstallRefused, UnknownName
from staffetta.base.installs.record import JobRecord
from staffetta.base.trust import LARGEST_STEP, TimeFloor, clock_problem, device_key
from staffetta.base.updates.service import UpdateService
from staffetta.control.appliance import Waypoint
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import Damaged, Refused
from staffetta.packages import Installed, Kind, Version
from staffetta.packages.errors import OlderPackage, PrerequisiteUnmet
from staffetta.vendor import server as update_server
from staffetta.vendor.server import ServerOrder, make_server
from vendor.publisher import Publisher

EULA = b"Use it well.\n"


class Shop:
    """A vendor with an update server, and an appliance's update service with a clock one can turn."""

    def __init__(self, folder: Path, url: str, publisher: Publisher) -> None:
        self.folder, self.url, self.publisher = folder, url, publisher
        self.installed = Installed(Version("1.0"))
        self.offset = timedelta()
        for place in ("base/trust", "base/packages/uploads"):
            (folder / place).mkdir(parents=True)
        self.service = self.again()

    def again(self) -> UpdateService:
        return UpdateService(
            self.folder / "base", self.publisher.root, self.url, lambda: self.installed, lambda: self.now()
        )

    def now(self) -> datetime:
        return utc_now() + self.offset

    def upload(self, *targets: str) -> str:
        path = self.publisher.bundle(*targets)
        path.rename(self.service.upload_path("b.bundle"))
        return "b.bundle"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    publisher = Publisher(tmp_path / "vendor", utc_now())
    publisher.publish(
        publisher.package(Kind.BASE, "1.0"),
        publisher.package(Kind.BASE, "1.1"),
        publisher.package(Kind.SITE, "1.0", eula=EULA),
        publisher.package(Kind.SITE, "1.1", requires=("base>=1.1",), eula=EULA),
        publisher.package(Kind.LICENCE, "1.0"),
        now=utc_now(),
    )
    with served(make_server(ServerOrder(publisher.repository, publisher.keys))) as url:
        yield Shop(tmp_path / "a", url, publisher)


@pytest.mark.req("U2", "U3")
def test_offers_say_what_they_need_and_outlive_the_process(shop: Shop) -> None:
    found = shop.service.check()
    assert found.error is None
    listed = {(offer.kind, offer.version): offer for offer in found.offers}
    assert ("base", "1.0") not in listed
    assert listed["base", "1.1"].selectable
    assert not listed["site", "1.1"].selectable
    assert listed["site", "1.1"].needs == ("Needs base 1.1 or newer first; base 1.0 is installed.",)
    assert listed["site", "1.0"].eula == EULA.decode()
    assert not listed["site", "1.0"].eula_accepted
    assert found.way == (Waypoint("base", "1.1"), Waypoint("site", "1.1", ("base 1.1 or newer",)))
    assert shop.again().updates() == found
    shop.installed = Installed(Version("1.1"))
    assert shop.again().updates().way == (Waypoint("site", "1.1"),)
    assert {offer.version for offer in shop.again().updates().offers if offer.selectable} == {"1.0", "1.1"}


@pytest.mark.req("U2", "U8")
def test_what_may_not_be_installed_is_refused_whatever_a_page_says(shop: Shop) -> None:
    shop.service.check()
    with pytest.raises(PrerequisiteUnmet, match=r"Needs base 1\.1 or newer first"):
        shop.service.want("site/site-1.1.tar.zst", "ann")
    with pytest.raises(EulaNotAccepted, match="staffetta appliance eula accept"):
        shop.service.want("site/site-1.0.tar.zst", "ann")
    with pytest.raises(UnknownName, match="Check for updates"):
        shop.service.want("site/site-9.tar.zst", "ann")
    shown = shop.service.agreements.to_show()
    assert shown.text == EULA.decode()
    shop.service.agreements.accept(shown.sha256, "ann", utc_now())
    assert shop.again().agreements.is_accepted(shown.sha256)
    assert shop.again().agreements.to_show().accepted_by == "ann"
    wanted = shop.service.want("site/site-1.0.tar.zst", "ann")
    assert (wanted.program, wanted.version, wanted.previous) == (Kind.SITE, Version("1.0"), None)
    job = job_of(shop, "site/site-1.0.tar.zst", "1.0")
    assert shop.service.verify(job).version == Version("1.0")
    shop.installed = Installed(Version("1.0"), Version("1.0"))
    with pytest.raises(OlderPackage, match="not newer"):
        shop.service.verify(job)


def job_of(shop: Shop, target: str, version: str, bundle: str | None = None) -> JobRecord:
    return JobRecord("job-1", Kind.SITE, target, Version(version), None, "ann", shop.now(), bundle)


@pytest.mark.req("U3", "U14")
def test_a_package_is_fetched_whole_with_its_progress(shop: Shop) -> None:
    shop.service.check()
    seen: list[tuple[int, int]] = []
    job = job_of(shop, "base/base-1.1.tar.zst", "1.1")
    path = shop.service.download_path(job)
    shop.again().fetch(job, path, lambda done, total: seen.append((done, total)))
    assert path.stat().st_size == seen[-1][1] == seen[-1][0]


@pytest.mark.req("U3")
def test_updates_are_checked_while_a_package_is_fetched(shop: Shop) -> None:
    shop.service.check()
    job = job_of(shop, "base/base-1.1.tar.zst", "1.1")
    checked = threading.Event()

    def check() -> None:
        shop.service.check()
        checked.set()

    def in_the_middle(done: int, total: int) -> None:
        threading.Thread(target=check, daemon=True).start()
        assert checked.wait(20), "the check waits for the download"

    path = shop.service.download_path(job)
    shop.service.fetch(job, path, in_the_middle)
    assert path.exists()


@pytest.mark.req("U6")
@pytest.mark.parametrize(("offset", "words"), [(timedelta(days=400), "400 days ahead of"), (-timedelta(hours=3), "")])
def test_a_wrong_clock_is_named_with_its_offset_and_where_to_mend_it(shop: Shop, offset: timedelta, words: str) -> None:
    shop.offset = offset
    found = shop.service.check()
    if words:
        assert found.error is not None
        assert words in found.error
        assert "Networking > IP configuration" in found.error
    else:
        assert found.error is None, "a clock that is behind is helped by the server's time"
    assert shop.service.clock_offset == pytest.approx(-offset.total_seconds(), abs=30)
    problem = clock_problem(shop.service.clock_offset)
    assert problem is not None
    assert ("ahead of" if words else "3 hours behind") in problem


@pytest.mark.req("U6", "U14")
def test_one_lie_about_the_time_stops_no_later_update(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update_server, "utc_now", lambda: utc_now() + timedelta(days=27_000))
    assert shop.service.check().error is not None
    assert shop.service.floor.read() is None
    monkeypatch.undo()
    assert shop.again().check().error is None


@pytest.mark.req("U6", "U14")
def test_a_statement_raises_the_floor_by_days_at_most(shop: Shop) -> None:
    shop.offset = -timedelta(days=90)
    assert shop.service.check().error is None
    floor = shop.service.floor.read()
    assert floor is not None
    assert abs(floor - (shop.now() + LARGEST_STEP)) < timedelta(minutes=1)


@pytest.mark.req("U6", "U18")
def test_a_job_under_a_wrong_clock_says_so(shop: Shop) -> None:
    shop.offset = timedelta(days=400)
    shop.service.check()
    with pytest.raises(ClockWrong, match="400 days ahead"):
        shop.service.verify(job_of(shop, "base/base-1.1.tar.zst", "1.1"))


@pytest.mark.req("U6", "U14")
def test_the_time_floor_only_rises_and_survives(tmp_path: Path) -> None:
    now = utc_now()
    floor = TimeFloor(tmp_path / "time.json")
    assert floor.now(now) == now
    floor.raise_to(now)
    floor.raise_to(now - timedelta(days=9))
    assert TimeFloor(tmp_path / "time.json").now(now - timedelta(days=400)) == now
    (tmp_path / "time.json").write_text("{")
    with pytest.raises(Damaged, match="restore it"):
        floor.read()


@pytest.mark.req("U3")
def test_a_server_that_is_away_leaves_the_last_answer(shop: Shop) -> None:
    shop.service.check()
    shop.url = "http://127.0.0.1:1"
    found = shop.again().check()
    assert found.error is not None
    assert "does not answer" in found.error
    assert found.offers
    assert found.checked_at is not None


@pytest.mark.req("U2", "U4")
def test_a_bundle_is_installed_in_order(shop: Shop) -> None:
    bundle = shop.upload("base/base-1.1.tar.zst", "site/site-1.1.tar.zst")
    assert shop.service.want_from_bundle(bundle, "ann").program is Kind.BASE
    shop.installed = Installed(Version("1.1"))
    with pytest.raises(EulaNotAccepted):
        shop.service.want_from_bundle(bundle, "ann")
    shop.service.agreements.accept(shop.service.agreements.to_show().sha256, "ann", utc_now())
    assert shop.service.want_from_bundle(bundle, "ann").program is Kind.SITE
    shop.installed = Installed(Version("1.1"), Version("1.1"))
    with pytest.raises(OlderPackage):
        shop.service.want_from_bundle(bundle, "ann")


@pytest.mark.req("U1", "U4")
def test_a_bundle_with_nothing_to_install_says_why(shop: Shop) -> None:
    with pytest.raises(PrerequisiteUnmet, match=r"base 1\.1"):
        shop.service.want_from_bundle(shop.upload("site/site-1.1.tar.zst"), "ann")
    with pytest.raises(Damaged, match="not a bundle"):
        shop.service.upload_path("x.bundle").write_bytes(b"x" * 2000)
        shop.service.want_from_bundle("x.bundle", "ann")
    with pytest.raises(UnknownName, match="Upload it again"):
        shop.service.want_from_bundle("gone.bundle", "ann")
    wanted = shop.service.want_from_bundle(shop.upload("licences/licence-1.0.tar.zst"), "ann")
    assert wanted.program is Kind.LICENCE


@pytest.mark.req("U8")
def test_an_agreement_is_accepted_by_somebody_and_only_as_it_was_shown(shop: Shop) -> None:
    shop.service.check()
    with pytest.raises(UnknownName, match="show it again"):
        shop.service.agreements.accept("0" * 64, "ann", utc_now())
    with pytest.raises(InstallRefused, match="must be named"):
        shop.service.agreements.accept(shop.service.agreements.to_show().sha256, "", utc_now())
    assert not shop.service.agreements.all_accepted()


def test_the_device_key_is_made_once_and_kept_to_base(tmp_path: Path) -> None:
    first = device_key(tmp_path / "device.key")
    assert (tmp_path / "device.key").stat().st_mode & 0o777 == 0o600
    again = device_key(tmp_path / "device.key")
    assert first.public_key().public_bytes_raw() == again.public_key().public_bytes_raw()
    (tmp_path / "device.key").write_text("x")
    with pytest.raises(Damaged, match="new device"):
        device_key(tmp_path / "device.key")


def test_errors_are_of_the_kernel(shop: Shop) -> None:
    assert issubclass(EulaNotAccepted, Refused)
    assert EulaNotAccepted.http_status == 403
    assert ClockWrong.exit_status == 6
