"""The journal of a client's updates as a start finds it: long, held by another process, or on a full disk."""

import json
from pathlib import Path

import pytest

from staffetta.clients.updating import plan, starting
from staffetta.clients.updating.starting import JOURNAL, Place, Updates
from staffetta.kernel.journal import Journal, JournalHeld, read_journal


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "releases" / "1.1.0").mkdir(parents=True)
    lines = [{"step": "proven", "version": "1.1.0", "previous": "1.0.0", "at": "2026-11-24T12:00:00Z"}]
    lines *= plan.ENTRIES_KEPT + 1
    (tmp_path / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Place(tmp_path, "1.1.0")


def test_a_long_journal_is_begun_anew_and_says_the_same(place: Place) -> None:
    updates = Updates(place)
    assert len(read_journal(place.root / JOURNAL)) == 1
    assert (updates.progress.version, updates.progress.previous) == ("1.1.0", "1.0.0")
    updates.note("fetch", "1.2.0")
    with pytest.raises(JournalHeld):
        Updates(place)
    updates.close()
    assert [entry.data["step"] for entry in read_journal(place.root / JOURNAL)] == ["proven", "fetch"]


def test_a_long_journal_of_a_running_client_is_left_alone(place: Place) -> None:
    """Two processes must never be one client: a journal that is begun anew would not be held by the first."""
    running = Journal(place.root / JOURNAL)
    with pytest.raises(JournalHeld):
        Updates(place)
    running.append({"step": "fetch", "version": "1.2.0"})
    running.close()
    assert len(read_journal(place.root / JOURNAL)) == plan.ENTRIES_KEPT + 2


def test_a_long_journal_stays_on_a_full_disk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(starting, "write_atomically", full)
    assert Updates(place).progress.version == "1.1.0"


def test_who_opened_a_journal_before_it_was_begun_anew_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / JOURNAL
    Journal(path).close()
    anew = tmp_path / "anew"
    anew.touch()
    lock = starting.Journal.__init__.__globals__["fcntl"].flock

    def begun_anew(file: object, how: int) -> None:
        anew.replace(path)
        lock(file, how)

    monkeypatch.setattr("staffetta.kernel.journal.fcntl.flock", begun_anew)
    with pytest.raises(JournalHeld):
        Journal(path)
