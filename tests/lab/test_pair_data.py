"""Two appliances' files compared: one record or segment more, less, other or again is seen, and nothing else is."""

import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from staffetta.lab import pair_data

SAME = {"only_a": 0, "only_b": 0, "doubled": 0}
SEGMENT = b"frames"
NAME = hashlib.sha256(SEGMENT).hexdigest()


def appliance(folder: Path) -> Path:
    """An appliance's files as the lab meets them: three records, one of them of a segment."""
    blobs = folder / "site" / "blobs" / NAME[:2]
    blobs.mkdir(parents=True)
    (blobs / NAME).write_bytes(SEGMENT)
    with contextlib.closing(sqlite3.connect(folder / "site" / "site.sqlite3")) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(
            "CREATE TABLE data_record (id INTEGER PRIMARY KEY, origin, incarnation, sequence, kind, at, body)"
        )
        rows = [
            ("o", "i", 1, "session.opened", "2027-01-01 10:00:00", json.dumps({"session": "s"})),
            ("o", "i", 2, "session.segment", "2027-01-01 10:00:01", json.dumps({"session": "s", "sha256": NAME})),
            ("o", "i", 3, "session.ended", "2027-01-01 10:00:02", json.dumps({"session": "s", "reason": "left"})),
        ]
        database.executemany(
            "INSERT INTO data_record (origin, incarnation, sequence, kind, at, body) VALUES (?, ?, ?, ?, ?, ?)", rows
        )
        database.execute(
            "CREATE TRIGGER final BEFORE DELETE ON data_record BEGIN SELECT RAISE(ABORT, 'records are final'); END"
        )
    return folder


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return appliance(tmp_path / "a"), appliance(tmp_path / "b")


def sync(pair: tuple[Path, Path], **options: frozenset[tuple[str, str, int]]) -> dict[str, dict[str, int]]:
    return pair_data.compare(pair_data.read(pair[0]), pair_data.read(pair[1]), **options)


def test_two_that_hold_the_same_are_the_same(pair: tuple[Path, Path]) -> None:
    assert sync(pair) == {
        "records": {"a": 3, "b": 3, "lost": 0, **SAME},
        "recordings": {"a": 1, "b": 1, "lost": 0, **SAME},
    }


def test_the_order_of_a_bodys_fields_does_not_matter(pair: tuple[Path, Path]) -> None:
    change(pair[1], 'UPDATE data_record SET body = \'{"reason": "left", "session": "s"}\' WHERE sequence = 3')
    assert sync(pair)["records"]["only_b"] == 0


@pytest.mark.req("F5")
def test_a_deleted_record_is_missing(pair: tuple[Path, Path]) -> None:
    earlier = pair_data.read(pair[0]).keys
    pair_data.lose_a_record(pair[1])
    assert sync(pair)["records"] == {"a": 3, "b": 2, "lost": 0, **SAME, "only_a": 1}
    pair_data.lose_a_record(pair[0])
    assert sync(pair, earlier=earlier)["records"] == {"a": 2, "b": 2, "lost": 1, **SAME}


@pytest.mark.req("F5")
def test_a_copied_record_is_doubled_though_its_key_is_new(pair: tuple[Path, Path]) -> None:
    pair_data.copy_a_record(pair[1])
    assert sync(pair)["records"] == {"a": 3, "b": 4, "lost": 0, **SAME, "only_b": 1, "doubled": 1}


def test_the_same_key_with_other_words_is_another_record(pair: tuple[Path, Path]) -> None:
    change(pair[1], "UPDATE data_record SET body = '{}' WHERE sequence = 3")
    assert sync(pair)["records"] == {"a": 3, "b": 3, "lost": 0, "only_a": 1, "only_b": 1, "doubled": 0}


def test_the_same_key_twice_on_one_side_is_doubled(pair: tuple[Path, Path]) -> None:
    change(
        pair[0],
        "INSERT INTO data_record (origin, incarnation, sequence, kind, at, body) "
        "SELECT origin, incarnation, sequence, kind, at, body FROM data_record WHERE sequence = 1",
    )
    assert sync(pair)["records"]["doubled"] == 1


@pytest.mark.parametrize("content", [b"other frames", None])
def test_a_segment_whose_bytes_are_others_or_gone_is_missing(pair: tuple[Path, Path], content: bytes | None) -> None:
    blob = pair[0] / "site" / "blobs" / NAME[:2] / NAME
    blob.unlink() if content is None else blob.write_bytes(content)
    assert sync(pair)["recordings"] == {"a": 0, "b": 1, "lost": 0, **SAME, "only_b": 1}
    other = pair[1] / "site" / "blobs" / NAME[:2] / NAME
    other.unlink() if content is None else other.write_bytes(content)
    assert sync(pair)["recordings"] == {"a": 0, "b": 0, "lost": 1, **SAME}, "they agree, and it is lost"


def test_the_keys_alone_are_those_of_the_records(pair: tuple[Path, Path]) -> None:
    assert pair_data.keys(pair[0]) == pair_data.read(pair[0]).keys != frozenset()


def change(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "site" / "site.sqlite3")) as database, database:
        database.execute(statement)
