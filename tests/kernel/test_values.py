"""Ids, times, files, settings and logs keep what they promise."""

import io
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staffetta.kernel import log
from staffetta.kernel.clock import format_time, parse_time, trusted_now
from staffetta.kernel.errors import InvalidInput
from staffetta.kernel.files import sha256_of, write_atomically
from staffetta.kernel.ids import ID_PATTERN, new_id
from staffetta.kernel.settings import InvalidSettings, load_section


def test_ids_are_distinct_and_match_their_pattern() -> None:
    ids = {new_id("site") for _ in range(1000)} | {new_id() for _ in range(1000)}
    assert len(ids) == 2000
    assert all(ID_PATTERN.fullmatch(one) for one in ids)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))
def test_a_time_survives_being_written(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert parse_time(format_time(aware)) == aware


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-24T05:48:15", "2026-13-01T00:00:00Z"])
def test_a_bad_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidInput, match="write it like"):
        parse_time(text)


@pytest.mark.req("U6")
def test_trusted_time_is_never_behind_its_floor() -> None:
    floor = datetime(2026, 11, 24, tzinfo=UTC)
    assert trusted_now(floor - timedelta(days=400), floor) == floor
    assert trusted_now(floor + timedelta(hours=1), floor) == floor + timedelta(hours=1)


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_atomically(path, b"one")
    write_atomically(path, b"two", mode=0o640)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
    assert sha256_of(path) == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of this test."""

    seconds: float = 2.5
    names: tuple[str, ...] = ()
    most: int | None = None


def test_settings_overlay_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    assert load_section(Limits, path, "limits") == Limits()
    path.write_text('[limits]\nseconds = 3\nnames = ["a", "b"]\n[other]\nx = 1\n')
    assert load_section(Limits, path, "limits") == Limits(3, ("a", "b"))


@pytest.mark.parametrize(
    "text", ["[limits]\nsecond = 1", '[limits]\nseconds = "long"', "[limits]\nmost = true", "limits = 3", "[limits"]
)
def test_bad_settings_are_refused_naming_the_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=r"settings\.toml"):
        load_section(Limits, path, "limits")


def test_a_log_line_is_json_with_the_bound_ids() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(log.JsonFormatter({"program": "base"}))
    logger = logging.Logger("room")
    logger.addHandler(handler)
    with log.bound(job="j1"):
        logger.info("step %s", "stage", extra={"bytes": 3})
    line = json.loads(stream.getvalue())
    assert (line["program"], line["job"], line["message"], line["bytes"]) == ("base", "j1", "step stage", 3)
