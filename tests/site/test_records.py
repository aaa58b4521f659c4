"""Records: append-only in code and in the database, numbered without gap or double, projections rebuilt equal."""

import hashlib
import random
import sqlite3
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from own_site import enrolled, run_site

from staffetta.kernel.clock import utc_now
from staffetta.site.accounts.models import Account
from staffetta.site.accounts.permissions import Allowed
from staffetta.site.data import identity, projections, records
from staffetta.site.data.errors import BodyNotJson, RecordGap, RecordsAreFinal
from staffetta.site.data.models import Record
from staffetta.site.data.records import RecordText
from staffetta.site.fleet import service as fleet
from staffetta.site.management.models import AuditEntry
from staffetta.site.support import service as support
from staffetta.site.support.models import SessionEvent, SessionReport, SessionSegment

pytestmark = pytest.mark.django_db


def test_a_record_carries_origin_incarnation_and_the_next_sequence() -> None:
    first = records.append("test.one", {"a": 1})
    second = records.append("test.two", {"b": [1, "x", None]})
    assert first.origin == second.origin == identity.origin()
    assert first.incarnation == second.incarnation == records.current_incarnation()
    assert second.sequence == first.sequence + 1
    assert Record.objects.get(pk=second.pk).body == {"b": [1, "x", None]}


def test_a_new_incarnation_begins_anew() -> None:
    before = records.append("test.one", {})
    records.draw_incarnation()
    after = records.append("test.two", {})
    assert after.incarnation != before.incarnation
    assert after.sequence == 1


@pytest.mark.req("F5")
def test_nothing_more_is_written_under_an_incarnation_that_was_set_back() -> None:
    """Also before what was forgotten is here again: its next number is taken elsewhere."""
    before = records.append("test.one", {})
    seen = {(before.origin, before.incarnation): before.sequence}
    assert records.fence(seen) == 0
    assert records.append("test.two", {}).incarnation == before.incarnation
    assert records.fence({**seen, (before.origin, before.incarnation): before.sequence + 2}) == 1
    after = records.append("test.three", {})
    assert after.incarnation != before.incarnation
    assert after.sequence == 1


@pytest.mark.req("F3", "F5")
def test_a_gap_and_an_incarnation_of_two_origins_are_refused_whole() -> None:
    def text(sequence: int, origin: str = "there") -> RecordText:
        return RecordText(origin, "life", sequence, "test.one", utc_now(), {})

    assert records.insert_foreign([text(1), text(2)]) == 2
    for found in ([text(3), text(5)], [text(3), text(1, "elsewhere")]):
        with pytest.raises(RecordGap):
            records.insert_foreign(found)
        assert records.heads()["there", "life"] == 2
        assert Record.objects.filter(incarnation="life").count() == 2


def test_a_rolled_back_transaction_gives_its_number_back() -> None:
    first = records.append("test.one", {})
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        records.append("test.lost", {})
        raise ZeroDivisionError
    assert records.append("test.two", {}).sequence == first.sequence + 1
    assert not Record.objects.filter(kind="test.lost").exists()


@pytest.mark.req("S7")
def test_code_refuses_to_change_or_delete_a_record() -> None:
    record = records.append("test.one", {})
    record.body = {"changed": True}
    attempts = (
        record.save,
        record.delete,
        lambda: Record.objects.filter(pk=record.pk).update(kind="x"),
        lambda: Record.objects.all().delete(),
        lambda: Record.objects.bulk_update([record], ["kind"]),
        lambda: Record.objects.update_or_create(pk=record.pk, defaults={"kind": "x"}),
    )
    for attempt in attempts:
        with pytest.raises(RecordsAreFinal):
            attempt()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE data_record SET kind = 'x'",
        "DELETE FROM data_record",
        "INSERT OR REPLACE INTO data_record SELECT * FROM data_record",
    ],
)
def test_triggers_refuse_what_gets_past_the_code(statement: str) -> None:
    records.append("test.one", {})
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert Record.objects.filter(kind="test.one").count() == 1


def test_another_program_is_refused_too(site_folder: Path) -> None:
    run_site(site_folder, "-c", _SETUP + "records.append('test.one', {})")
    other = sqlite3.connect(site_folder / "site.sqlite3")
    for statement in ("UPDATE data_record SET at = at", "DELETE FROM data_record"):
        with pytest.raises(sqlite3.DatabaseError, match="append-only"):
            other.execute(statement)
    other.close()


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": object()}, {"x": b"bytes"}])
def test_a_body_that_is_not_json_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BodyNotJson):
        records.append("test.bad", body)


_SETUP = "import django; django.setup()\nfrom staffetta.site.data import records\n"
_WRITERS = _SETUP + textwrap.dedent(
    """
    import random, sys, threading
    from django.db import connection, transaction

    start = threading.Barrier(4)

    def write(number):
        chance = random.Random(number)
        start.wait()
        for turn in range(40):
            try:
                with transaction.atomic():
                    records.append("test.turn", {"writer": number, "turn": turn})
                    if chance.random() < 0.2:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass
        connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    """
)


def test_connections_at_once_number_without_gap_or_double(site_folder: Path) -> None:
    """Four connections of one process write under one incarnation, some of them rolling back; then another process."""
    for _process in range(2):
        run_site(site_folder, "-c", _WRITERS)
    database = sqlite3.connect(site_folder / "site.sqlite3")
    found: dict[str, list[int]] = {}
    for incarnation, sequence in database.execute("SELECT incarnation, sequence FROM data_record ORDER BY id"):
        found.setdefault(incarnation, []).append(sequence)
    last = dict(database.execute("SELECT id, last_sequence FROM data_incarnation"))
    database.close()
    assert len(found) == 2
    for incarnation, sequences in found.items():
        # in the order of the table, too: a reader of the highest number seen skips nothing
        assert sequences == list(range(1, len(sequences) + 1))
        assert 80 < len(sequences) < 160
        assert last[incarnation] == len(sequences)


def test_a_forked_process_has_an_incarnation_of_its_own(site_folder: Path) -> None:
    printed = run_site(
        site_folder,
        "-c",
        _SETUP
        + "import os, sys\nprint(records.current_incarnation(), flush=True)\nchild = os.fork()\n"
        + "if not child: print(records.current_incarnation(), flush=True); os._exit(0)\n"
        + "os.waitpid(child, 0); print(records.current_incarnation())",
    ).split()
    assert printed[0] == printed[2] != printed[1]


def _history(person: Callable[..., Account], folder: Path) -> None:
    """Three sessions with resumes, lost connections and segments, and what people did."""
    chance = random.Random(7)
    rep = person("rita", Allowed.START_SESSIONS)
    for number in range(3):
        client = enrolled(f"computer {number}")
        session = support.open_session(rep.pk, client, "shell").id
        for turn in range(1, 4):
            for end in ("console", "jump-client"):
                support.note_attached(session, end, turn, f"site-{turn}", "1.0", utc_now())
                if chance.random() < 0.5:
                    support.note_detached(session, end, turn, utc_now(), "lost")
            data = chance.randbytes(100 + turn)
            path = folder / f"segment-{number}-{turn}"
            path.write_bytes(data)
            support.add_segment(session, path, hashlib.sha256(data).hexdigest(), len(data))
        if number:
            support.end_session(session, "console")
        if number == 2:
            fleet.revoke_client("rita", client)


@pytest.mark.req("S2", "F5", "S7")
def test_projections_rebuilt_are_equal(person: Callable[..., Account], tmp_path: Path) -> None:
    _history(person, tmp_path)
    before = _rows()
    assert all(before.values())
    assert projections.rebuild_projections() == Record.objects.count()
    assert _rows() == before


@pytest.mark.req("F5")
@pytest.mark.parametrize("seed", range(5))
def test_records_in_any_order_and_repeated_give_the_same_reports(
    person: Callable[..., Account], tmp_path: Path, seed: int
) -> None:
    _history(person, tmp_path)
    before = _rows()
    for model in PROJECTED:
        model.objects.all().delete()
    joined = [*Record.objects.all(), *Record.objects.all()]
    random.Random(seed).shuffle(joined)
    for record in joined:
        projections.apply(record)
    assert _rows() == before


PROJECTED = (SessionReport, SessionEvent, SessionSegment, AuditEntry)


def _rows() -> dict[str, list[str]]:
    """Every projected row, without the table's own numbering."""
    return {
        model.__name__: sorted(
            str({name: value for name, value in row.items() if name != "id" or model is SessionReport})
            for row in model.objects.values()
        )
        for model in PROJECTED
    }
