"""The numbers of a pair: pauses are counted from the decision, and ages are read off a database; bad ones are told."""

import contextlib
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from bench.document import renew
from bench.spread import Echo, Window, pause_after
from bench.sync_age import Steady, count, newest, sample
from bench.typed import Session
from bench.writer import KIND

from bench import pair_pause, sync_age
from staffetta.kernel.clock import utc_now
from staffetta.kernel.errors import InvalidInput
from staffetta.lab.world import LabFailure


def typed(*echoes: Echo) -> Session:
    quiet = [Echo(moment, moment + 0.002) for moment in range(80)]
    return Session([*quiet, *echoes], 2, 3, "complete")


def moved(start: float, *, cut: bool = False) -> pair_pause.Event:
    return pair_pause.Event(Window(start, start + 4), cut, 0.05 if cut else None, 1.5)


KILLED = pair_pause.Event(Window(50, 56), True, 2.0, 1.9)


def test_what_was_waited_before_the_decision_does_not_count() -> None:
    echoes = [Echo(44, 53), Echo(52, 52.5), Echo(45, 46), Echo(49.9, 49.95), Echo(60, 69)]
    assert pause_after(echoes, 50, Window(50, 56)) == 3
    assert pause_after([Echo(44, 50.5), Echo(52, 54)], 50, Window(50, 56)) == 2
    with pytest.raises(InvalidInput):
        pause_after([Echo(44, 45)], 50, Window(50, 56))


@pytest.mark.parametrize(
    ("move", "kill", "words"),
    [
        (0.2, 0.9, ("200 ms (200 to 200)", "0.25 s: aim reached", "900 ms (900 to 900)", "aim: 1 s: aim reached")),
        (0.5, 2.5, ("0.25 s: reached", "aim: 1 s: reached", "ratio 1.2")),
        (1.5, 5.5, ("0.25 s: missed", "aim: 1 s: missed")),
    ],
)
def test_pauses_of_a_pair_are_judged_by_their_own_bounds(move: float, kill: float, words: tuple[str, ...]) -> None:
    session = typed(Echo(20.5, 20.5 + move), Echo(46, 50 + kill))
    section = pair_pause.section(session, [moved(20)], [KILLED])
    for word in words:
        assert word in section.verdict
    assert section.number == "N2-pair"


def test_a_bare_connection_that_the_move_spared_is_told() -> None:
    session = typed(Echo(20.5, 20.7), Echo(30.5, 30.6), Echo(46, 51))
    section = pair_pause.section(session, [moved(20), moved(30, cut=True)], [KILLED])
    table = section.tables[0][1].text()
    assert "| address move | 2 | 150 ms (100 to 200) | cut in 1 of 2 | 50 ms (50 to 50) |" in table
    assert "| cut in 1 of 1 | 2,000 ms (2,000 to 2,000) |" in table
    alone = pair_pause.section(session, [moved(20)], [KILLED]).tables[0][1].text()
    assert "| cut in 0 of 1 | - |" in alone


def test_a_part_of_a_number_has_its_place_behind_it() -> None:
    sections = {number: f"## {number} Something\n\n**{number}**\n" for number in ("N12", "N2-pair", "N2", "N1")}
    document = renew("", sections)
    places = [document.index(f"## {number} ") for number in ("N1", "N2", "N2-pair", "N12")]
    assert places == sorted(places)
    again = renew(document, {"N2": "## N2 Something\n\n**other**\n"})
    assert "**N2-pair**" in again
    assert "**N2**" not in again


@pytest.fixture
def appliance(tmp_path: Path) -> Path:
    """The part of a site's database that is looked at."""
    (tmp_path / "site").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "site" / "site.sqlite3")) as database, database:
        database.execute("CREATE TABLE data_record (id INTEGER PRIMARY KEY, kind TEXT, at TEXT)")
    return tmp_path


def write(appliance: Path, kind: str, age: float) -> None:
    at = (utc_now() - timedelta(seconds=age)).replace(tzinfo=None)
    with contextlib.closing(sqlite3.connect(appliance / "site" / "site.sqlite3")) as database, database:
        database.execute("INSERT INTO data_record (kind, at) VALUES (?, ?)", [kind, at.isoformat(" ")])


def test_the_age_is_that_of_the_writers_newest_record(appliance: Path) -> None:
    assert newest(appliance) is None
    with pytest.raises(LabFailure):
        sample(appliance, 0.1)
    write(appliance, KIND, 60)
    write(appliance, KIND, 30)
    write(appliance, "other", 1)
    assert count(appliance) == 2
    assert all(29 < age < 50 for age in sample(appliance, 0.2))


@pytest.mark.parametrize(
    ("age", "words"), [(0.6, "aim: 1 s: aim reached"), (2.0, "aim: 1 s: reached"), (9.0, "aim: 1 s: missed")]
)
def test_the_age_is_judged_at_the_99th_percentile(age: float, words: str) -> None:
    ages = [0.1] * 980 + [age] * 20
    section = sync_age.section(Steady(ages, 13200, 66, 0.4))
    assert words in section.verdict
    assert "200 records/s" in section.verdict
    assert f"| 1,000 | 0.10 s | {age:.2f} s | {age:.2f} s |" in section.tables[0][1].text()


def test_a_writer_that_is_too_slow_has_measured_nothing() -> None:
    with pytest.raises(InvalidInput, match="150 records/s"):
        sync_age.section(Steady([0.1], 9900, 66, 0.4))
