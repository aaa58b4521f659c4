"""Metrics: who may read them, and that what is written is what was seen, under names that Prometheus would choose."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from staffetta.base.errors import MetricsAccessDamaged
from staffetta.base.metrics.access import MetricsTokens
from staffetta.base.metrics.exposition import OwnDoor, Picture, Room, exposition
from staffetta.control.appliance import Certificate, Job, JobState, Offer, Updates
from staffetta.control.measures import (
    PAUSE_BUCKETS_MS,
    AnswerMeasures,
    FleetMeasures,
    PairMeasures,
    PauseMeasures,
    SiteMeasures,
)
from staffetta.control.verbs import GenerationState, GenerationStatus, KeeperStatus, ProcessStatus, ProgramStatus

pytestmark = pytest.mark.req("U11")
NOW = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)


def program(name: str, version: str) -> ProgramStatus:
    active = GenerationStatus(
        f"{name}-1", version, GenerationState.ACTIVE, True, None, (ProcessStatus("web", 7, True, 2),)
    )
    old = GenerationStatus(f"{name}-0", "0.9", GenerationState.DRAINING, True, None, ())
    return ProgramStatus(version, active.id, (old, active))


PAUSES = PauseMeasures((1, 0, 0, 2, *(0,) * (len(PAUSE_BUCKETS_MS) - 3)), 175, 4)
SITE = SiteMeasures(
    version="2.0",
    generation="site-1",
    role="primary",
    role_term=3,
    sessions_live=5,
    connections=11,
    fleet=FleetMeasures(10_000, 9_000, 40, 20),
    reps_online=6,
    pauses=PAUSES,
    answers=(AnswerMeasures(2, 70), AnswerMeasures(5, 1)),
    loop_lag_seconds=0.25,
    backup_at=NOW,
    pair=PairMeasures("b:443", 1.5, 2.5, 7, 8, 9, synced_at=NOW, alarm_codes=("clocks-apart",), alarms=("Set them.",)),
)
PICTURE = Picture(
    keeper=KeeperStatus("1", 1, {"base": program("base", "1.0"), "site": program("site", "2.0")}, ()),
    started={"base": 100.5, "site": 200.0},
    site=SITE,
    door=OwnDoor({2: 3}, 1, 0.5),
    jobs=(Job("j", "site", "2.0", JobState.COMMITTED, "committed", NOW, NOW),),
    updates=Updates(NOW, (), "no answer"),
    certificates=(Certificate("site", "s", "i", (), NOW, NOW, ()),),
    room=Room(1000, 2000),
    clock_offset_seconds=-0.5,
)


def samples(picture: Picture) -> dict[str, float]:
    text, _ = exposition(picture, "")
    return {
        one.name + "".join(f"|{value}" for _, value in sorted(one.labels.items())): one.value
        for family in read_text(text.decode())
        for one in family.samples
    }


def test_what_was_seen_is_what_is_written() -> None:
    seen = samples(PICTURE)
    expected = {
        "staffetta_build_info|site|2.0": 1,
        "staffetta_build_info|keeper|1": 1,
        "staffetta_program_up|site": 1,
        "staffetta_program_start_time_seconds|base-1|base": 100.5,
        "staffetta_generations|site|draining": 1,
        "staffetta_process_restarts_total|web|site": 2,
        "staffetta_role|primary": 1,
        "staffetta_role|backup": 0,
        "staffetta_role_term": 3,
        "staffetta_sessions_live": 5,
        "staffetta_clients_enrolled": 10_000,
        "staffetta_clients_behind": 40,
        "staffetta_clients_updating": 20,
        "staffetta_session_pause_seconds_bucket|0.01": 1,
        "staffetta_session_pause_seconds_bucket|0.1": 3,
        "staffetta_session_pause_seconds_bucket|+Inf": 3,
        "staffetta_session_pause_seconds_count": 3,
        "staffetta_session_pause_seconds_sum": 0.175,
        "staffetta_session_resumes_total": 4,
        "staffetta_http_requests_total|2xx|base": 3,
        "staffetta_http_requests_total|5xx|site": 1,
        "staffetta_event_loop_lag_seconds|site": 0.25,
        "staffetta_install_jobs_total|site|committed": 1,
        "staffetta_install_jobs_total|base|undone": 0,
        "staffetta_update_check_failed": 1,
        "staffetta_certificate_expiry_timestamp_seconds|site": NOW.timestamp(),
        "staffetta_disk_free_bytes": 1000,
        "staffetta_backup_last_timestamp_seconds": NOW.timestamp(),
        "staffetta_sync_lag_seconds": 2.5,
        "staffetta_sync_behind_records": 7,
        "staffetta_pair_alarm|clocks-apart": 1,
        "staffetta_pair_job_needs_person": 0,
        "staffetta_clock_offset_seconds": -0.5,
    }
    assert {name: seen.get(name) for name in expected} == expected


def test_a_site_that_is_down_leaves_its_numbers_out_and_says_so() -> None:
    keeper = replace(PICTURE.keeper, programs={**PICTURE.keeper.programs, "site": ProgramStatus("2.0", None, ())})
    seen = samples(replace(PICTURE, site=None, keeper=keeper))
    assert (seen["staffetta_site_answers"], seen["staffetta_program_up|site"]) == (0, 0)
    assert not [name for name in seen if name.startswith(("staffetta_clients", "staffetta_role", "staffetta_sync"))]


def test_a_site_of_another_release_or_that_lies_cannot_spoil_the_whole() -> None:
    assert SITE.pair is not None
    pair = replace(SITE.pair, alarm_codes=("two", "two", 'a"b\n'))
    seen = samples(replace(PICTURE, site=replace(SITE, pauses=PauseMeasures((1, 2), 3, 4), pair=pair)))
    assert not [name for name in seen if name.startswith("staffetta_session_pause")]
    assert (seen["staffetta_pair_alarm|two"], seen["staffetta_sessions_live"]) == (1, 5)


def test_the_documentation_names_every_metric_and_no_other() -> None:
    document = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text().partition("## What there is")[2]
    written = set(re.findall(r"`(staffetta_[a-z_]+)", document))
    assert written == {re.sub(r"_(bucket|sum|count)$", "", name.partition("|")[0]) for name in samples(PICTURE)}


def test_no_name_address_or_sentence_is_written() -> None:
    """Everything in a picture that a person, a computer or an error of theirs could be known by."""
    assert SITE.pair is not None
    private = "ann-private"
    pair = replace(SITE.pair, peer=private, alarms=(private,), sync_error=private, job=private, job_sentence=private)
    job = Job("j", "site", "2.0", JobState.UNDONE, private, NOW, NOW, private, text=private, actor=private)
    offer = Offer("site/2.1", "site", "2.1", 1, private, True, (), False, private, False)
    certificate = Certificate("site", private, private, (private,), NOW, NOW, (private,))
    picture = replace(
        PICTURE,
        site=replace(SITE, pair=pair),
        jobs=(replace(job, id=private),),
        updates=Updates(NOW, (offer,), private),
        certificates=(certificate,),
    )
    for accept in ("", "application/openmetrics-text;version=1.0.0"):
        text = exposition(picture, accept)[0].decode()
        assert "staffetta_pair_alarm" in text
        assert private not in text
    labels = {
        name for family in read_text(exposition(picture, "")[0].decode()) for s in family.samples for name in s.labels
    }
    assert labels == {
        "alarm", "certificate", "code", "generation", "le", "process", "program", "result", "role", "state", "version"
    }  # fmt: skip


def test_openmetrics_is_written_for_who_asks_for_it() -> None:
    text, content_type = exposition(PICTURE, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name for family in read_openmetrics(text.decode())}
    assert {"staffetta_session_pause_seconds", "staffetta_build"} <= families
    assert exposition(PICTURE, "")[1].startswith("text/plain; version=0.0.4")


def test_nobody_reads_metrics_until_a_token_is_made(tmp_path: Path) -> None:
    tokens = MetricsTokens(tmp_path / "metrics.json", "https://a/metrics")
    assert tokens.permits("") is None
    assert not tokens.access().enabled
    token = tokens.make("ann", NOW)
    assert token not in (tmp_path / "metrics.json").read_text(), "only its hash is kept"
    assert (tmp_path / "metrics.json").stat().st_mode & 0o777 == 0o600
    assert tokens.permits(token) is True
    assert [tokens.permits(wrong) for wrong in ("", token[:-1], f"{token}x", "\udcff")] == [False] * 4
    access = tokens.access()
    assert (access.enabled, access.made_by, access.made_at) == (True, "ann", NOW)
    second = tokens.make("bob", NOW)
    assert (tokens.permits(token), tokens.permits(second)) == (False, True)
    tokens.withdraw()
    tokens.withdraw()
    assert tokens.permits(second) is None


def test_the_token_file_is_read_when_it_has_changed_and_not_for_each_request(tmp_path: Path) -> None:
    tokens = MetricsTokens(tmp_path / "metrics.json", "https://a/metrics")
    token = tokens.make("ann", NOW)
    reads: list[object] = []

    def listen(event: str, given: tuple[object, ...]) -> None:
        if event == "open" and str(given[0]) == str(tmp_path / "metrics.json"):
            reads.append(given)

    sys.addaudithook(listen)
    assert [tokens.permits(one) for one in ("", token, "x")] == [False, True, False]
    assert len(reads) == 1
    other = MetricsTokens(tmp_path / "metrics.json", "https://a/metrics").make("bob", NOW)  # another generation of base
    assert (tokens.permits(token), tokens.permits(other), len(reads)) == (False, True, 2)


@pytest.mark.parametrize(
    "damage", [{}, {"sha256": "ü" * 64}, {"sha256": "ab"}, {"sha256": None}], ids=["empty", "foreign", "short", "none"]
)
def test_a_damaged_token_file_permits_nobody(tmp_path: Path, damage: dict[str, object]) -> None:
    path = tmp_path / "metrics.json"
    more = {"made_by": "ann", "made_at": "2026-11-28T06:00:00Z"} if damage else {}
    path.write_text(json.dumps({**more, **damage}))
    with pytest.raises(MetricsAccessDamaged, match="metrics enable"):
        MetricsTokens(path, "https://a/metrics").permits("x")
