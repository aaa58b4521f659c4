"""A fleet in the middle of an upgrade, with a client in each place of the bar, as pages of it are looked at."""

from datetime import timedelta
from typing import Final

from own_site import enrolled

from staffetta.kernel.clock import format_time, utc_now
from staffetta.site.fleet import service
from staffetta.site.fleet.models import ServedVersion, UpdateSlot
from staffetta.site.fleet.standing import Standing

OLD: Final = "0.9.0"
WANTED: Final = "1.0.0"
NAMES: Final = {
    Standing.CURRENT: "shop-1",
    Standing.UPDATING: "shop-2",
    Standing.BEHIND: "shop-3",
    Standing.FAILED: "shop-4",
    Standing.NEVER_SEEN: "shop-5",
}
"""The client that stands there."""


def tell_fleet() -> None:
    """Enrol a client for each place, on its way to ``WANTED``."""
    now = utc_now()
    ids = {standing: enrolled(name) for standing, name in NAMES.items()}
    service.heartbeat("site-a", "1.0", [])
    service.touch_online(ids[Standing.CURRENT], True, WANTED, {"updated_at": format_time(now)})
    for standing in (Standing.UPDATING, Standing.BEHIND):
        service.touch_online(ids[standing], True, OLD, {})
    failed = {"update_failed": WANTED, "update_failed_why": "", "update_failed_at": format_time(now)}
    service.touch_online(ids[Standing.FAILED], True, OLD, failed)
    UpdateSlot.objects.create(client=ids[Standing.UPDATING], version=WANTED, since=now)
    ServedVersion.objects.update_or_create(only=True, defaults={"version": "1.0", "since": now - timedelta(hours=1)})
