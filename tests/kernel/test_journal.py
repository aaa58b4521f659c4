"""The journal keeps whole lines through crashes and has one holder."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staffetta.kernel.journal import Journal, JournalDamaged, JournalHeld, gate_from_environment, read_journal


@pytest.mark.req("U10")
def test_entries_survive_reopening(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "job")
    journal.append({"step": "stage"})
    journal.append({"step": "check"})
    journal.close()
    again = Journal(tmp_path / "job")
    assert [(entry.sequence, entry.data["step"]) for entry in again.entries] == [(1, "stage"), (2, "check")]


@pytest.mark.req("U10")
@given(cut=st.integers(min_value=0, max_value=200))
def test_a_torn_last_line_is_dropped_and_nothing_before_it(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "job"
    journal = Journal(path)
    for number in range(5):
        journal.append({"number": number, "text": "x" * 10})
    journal.close()
    whole = path.read_bytes()
    cut = min(cut, len(whole))
    path.write_bytes(whole[:cut])
    entries = Journal(path).entries
    assert [entry.data["number"] for entry in entries] == list(range(whole[:cut].count(b"\n")))
    assert path.read_bytes().endswith(b"\n") or not entries


def test_a_damaged_line_in_the_middle_is_told_not_skipped(tmp_path: Path) -> None:
    path = tmp_path / "job"
    path.write_bytes(b'{"a":1}\nrubbish\n{"a":2}\n')
    with pytest.raises(JournalDamaged, match="line 2"):
        Journal(path)


def test_a_second_process_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "job"
    code = (
        "import sys; from pathlib import Path; from staffetta.kernel.journal import Journal; Journal(Path(sys.argv[1]))"
    )
    held = Journal(path)
    with pytest.raises(JournalHeld):
        Journal(path)
    refused = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "JournalHeld" in refused.stderr
    held.close()
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_the_gate_is_asked_before_and_after_each_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, bool]] = []
    path = tmp_path / "job"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "gate"))
    listener.listen()

    def listen() -> None:
        for _ in range(2):
            connection, _address = listener.accept()
            line = json.loads(connection.makefile().readline())
            heard.append((line["when"], bool(read_journal(path))))
            connection.sendall(b"go\n")
            connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    monkeypatch.setenv("STAFFETTA_JOURNAL_GATE", str(tmp_path / "gate"))
    Journal(path, gate_from_environment()).append({"step": "stage"})
    thread.join(5)
    listener.close()
    assert heard == [("before", False), ("after", True)]


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job"
    journal = Journal(path)
    journal.append({"step": "stage"})
    before = path.read_bytes()
    real = os.write

    def short(descriptor: int, data: memoryview) -> int:
        if len(data) > 4:
            return real(descriptor, data[:4])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("staffetta.kernel.journal.os.write", short)
    with pytest.raises(OSError, match="No space"):
        journal.append({"s": "abcdefg"})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert journal.append({"step": "check"}).sequence == 2
