"""Where each Jump Client stands on its way to the site's version, as one query: the bar, the filter, the counts (C5).

Each client that is not revoked stands in one place. Versions are compared here, not in the database: a fleet has few.
"""

from datetime import datetime
from enum import StrEnum

from django.db.models import Case, CharField, Count, Exists, OuterRef, Q, QuerySet, Value, When

from staffetta.site.fleet import rollout
from staffetta.site.fleet.models import JumpClient, Presence, UpdateSlot


class Standing(StrEnum):
    """The places, in the order of the bar."""

    CURRENT = "current"
    UPDATING = "updating"  # it holds a slot, and was not seen with the version yet
    BEHIND = "behind"
    FAILED = "failed"  # it went back from the version
    NEVER_SEEN = "never-seen"


def clients_at(standing: Standing, wanted: str | None, now: datetime) -> "QuerySet[JumpClient]":
    """Return the clients that stand there on their way to ``wanted``; for None, who has connected is current."""
    fleet = JumpClient.objects.filter(revoked_at=None)
    return fleet.annotate(standing=_standing(wanted, now)).filter(standing=standing.value)


def counts(wanted: str | None, now: datetime) -> dict[Standing, int]:
    """Return how many stand where, in the order of the bar."""
    fleet = JumpClient.objects.filter(revoked_at=None).order_by()
    found = dict(fleet.annotate(standing=_standing(wanted, now)).values_list("standing").annotate(Count("pk")))
    return {one: found.get(one.value, 0) for one in Standing}


def _standing(wanted: str | None, now: datetime) -> Case:
    versions = Presence.objects.order_by().values_list("version", flat=True).distinct()
    late = Q(presence__version__in=[one for one in versions if wanted is not None and rollout.behind(one, wanted)])
    slot = UpdateSlot.objects.filter(
        client=OuterRef("pk"),
        version=wanted or "",
        since__gt=now - rollout.SLOT_TIME,
        since__lt=now + rollout.SLOT_TIME,
    )
    return Case(
        When(presence=None, then=Value(Standing.NEVER_SEEN.value)),
        When(late & Q(Exists(slot)), then=Value(Standing.UPDATING.value)),
        When(late & Q(presence__detail__update_failed=wanted or ""), then=Value(Standing.FAILED.value)),
        When(late, then=Value(Standing.BEHIND.value)),
        default=Value(Standing.CURRENT.value),
        output_field=CharField(),
    )
