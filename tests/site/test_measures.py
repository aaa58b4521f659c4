"""What the site counts for metrics: right, in few queries however many Jump Clients there are."""

from datetime import timedelta
from typing import Any

import pytest

from staffetta.control.measures import PAUSE_BUCKETS_MS, FleetMeasures
from staffetta.kernel.clock import utc_now
from staffetta.site.data import audit
from staffetta.site.fleet.models import GatewayProcess, JumpClient, Presence, UpdateSlot
from staffetta.site.gateway.measuring import Pauses, count
from staffetta.site.management import audit_log

pytestmark = [pytest.mark.django_db, pytest.mark.req("C5", "U11")]


def fleet_of(clients: int) -> None:
    now = utc_now()
    GatewayProcess.objects.create(pk="holder", generation="g", version="2.0", beat_at=now, reps=["r1", "r2"])
    rows = [
        JumpClient(
            id=f"c{number}",
            name=f"computer {number}",
            public_key=number.to_bytes(32),
            platform={},
            enrolled_at=now,
            enrolled_by_token="t",
            revoked_at=now if number % 100 == 99 else None,
        )
        for number in range(clients)
    ]
    JumpClient.objects.bulk_create(rows, batch_size=500)
    Presence.objects.bulk_create(
        [
            Presence(
                client_id=row.id,
                online=number % 2 == 0,
                holder="holder",
                version="2.0" if number % 3 else "1.9",
                last_seen=now,
                detail={"some": "thing" * 20},
            )
            for number, row in enumerate(rows)
        ],
        batch_size=500,
    )
    UpdateSlot.objects.create(client="c0", version="2.0", since=now)


def test_a_fleet_is_counted_without_its_revoked_clients() -> None:
    fleet_of(200)
    counted = count("2.0")
    assert counted.fleet == FleetMeasures(enrolled=198, online=100, behind=66, updating=1)
    assert (counted.reps_online, counted.pair, counted.backup_at) == (2, None, None)
    assert count(None).fleet.behind == 0, "a site that brings no clients has none behind"


def test_ten_thousand_clients_take_as_many_queries_as_ten(django_assert_max_num_queries: Any) -> None:
    fleet_of(10_000)
    count("2.0")  # the first question makes the rows of the site itself
    with django_assert_max_num_queries(15) as asked:
        assert count("2.0").fleet.enrolled == 9_900
    rows = [one["sql"] for one in asked.captured_queries if "detail" in one["sql"]]
    assert rows == [], "no row of a client is read, least of all its detail"


def test_the_newest_backup_is_found() -> None:
    audit.note("ann", "backup.created")
    audit.note("ann", "user.made", "bob")
    at = audit_log.last("backup.created")
    assert at is not None and utc_now() - at < timedelta(minutes=1)
    assert audit_log.last("backup.restored") is None


def test_pauses_fall_into_their_buckets() -> None:
    pauses = Pauses()
    for milliseconds in (0, 10, 11, 999_999, None):
        pauses.note(milliseconds)
    said = pauses.measures()
    assert len(said.counts) == len(PAUSE_BUCKETS_MS) + 1
    assert (said.counts[0], said.counts[1], said.counts[-1], sum(said.counts)) == (2, 1, 1, 4)
    assert (said.resumed, said.sum_ms) == (5, 1_000_020)
